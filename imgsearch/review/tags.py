"""The names that stand as files of other tools: COCO (image tags) and Label Studio (choices). One entry a named file.

Names are those of the page: an image's own, else its cluster's. They are not spread; that is `label`'s work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow.compute as pc

from imgsearch.review.answers import Answers
from imgsearch.tables import IMAGES


class Tag(NamedTuple):
    """A file with its name; ``width`` and ``height`` in pixels, 0 where they were not noted."""

    path: str
    label: str
    image_id: str
    width: int
    height: int


def tags(answers: Answers) -> Iterator[Tag]:
    """Every file whose image has a name, by path."""
    columns = ["path", "image_id", "width", "height"]
    files = answers.warehouse.read(IMAGES, columns).sort_by("path")
    rows = pc.fill_null(pc.index_in(files["image_id"], value_set=answers.collection.image_ids), -1).to_pylist()
    for file, row in zip(files.to_pylist(), rows, strict=True):
        label = answers.label_of(row) if row >= 0 else None
        if label is not None:
            yield Tag(file["path"], label, file["image_id"], file["width"] or 0, file["height"] or 0)


def coco(answers: Answers) -> str:
    """COCO: ``images``, ``categories``, and an annotation a file with its category and no box."""
    numbers: dict[str, int] = {}
    images, annotations = [], []
    for n, tag in enumerate(tags(answers), 1):
        category = numbers.setdefault(tag.label, len(numbers) + 1)
        images.append(
            {"id": n, "file_name": tag.path, "width": tag.width, "height": tag.height, "sha256": tag.image_id}
        )
        annotations.append({"id": n, "image_id": n, "category_id": category})
    categories = [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()]
    about = {"description": "names of images by imgsearch", "date_created": datetime.now(UTC).isoformat()}
    value = {"info": about, "images": images, "annotations": annotations, "categories": categories}
    return json.dumps(value, ensure_ascii=False, indent=0)


def label_studio(answers: Answers) -> str:
    """Label Studio: a task a file, ``$image`` its path, with the choice ``label`` made."""
    tasks = [
        {
            "data": {"image": tag.path, "image_id": tag.image_id},
            "annotations": [
                {
                    "result": [
                        {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [tag.label]}}
                    ]
                }
            ],
        }
        for tag in tags(answers)
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=0)
