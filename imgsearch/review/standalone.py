"""The queue as a folder: one page that opens from disk, its pictures beside it, names out as ``labels.csv``."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from imgsearch.errors import UserError
from imgsearch.lake.shared_files import LocalFolder
from imgsearch.places import local_path
from imgsearch.review.answers import Answers, Json
from imgsearch.review.pictures import SMALL, Pictures
from imgsearch.review.queue import nearest_clusters, samples
from imgsearch.terminal import visible

MARKER, PARTS = ".imgsearch-review", ("pictures",)
PAGE = files("imgsearch").joinpath("review", "standalone_page")
STYLE = files("imgsearch").joinpath("review", "page", "style.css")
MAX_PICTURES = 20_000
CENTRAL, BORDERLINE = 8, 4  # of each cluster, where there are not too many clusters


class Written(NamedTuple):
    """The page's path, and how many clusters and pictures it has."""

    page: Path
    n_clusters: int
    n_pictures: int


def claimed(output: str) -> Path:
    """The local folder ``output``, marked as ours. Raises ``UserError`` where it is another's, or not local."""
    from imgsearch.lake.owned import claim

    path = local_path(output)
    if path is None:
        raise UserError.option("output", output, "give a folder of this machine, and copy it from there")
    claim(LocalFolder(path), MARKER, "output", output, PARTS)
    return path


def write_folder(answers: Answers, pictures: Pictures, out: Path) -> Written:
    """``index.html`` and ``pictures/`` into ``out``; an earlier page is replaced last, in one step."""
    cards = answers.queue(None, 0, len(answers.walk))["clusters"]
    order = [answers.collection.position_of[card["id"]] for card in cards]
    share = MAX_PICTURES // max(1, len(order))
    n_central = max(1, min(CENTRAL, share))
    n_borderline = max(0, min(BORDERLINE, share - n_central))
    LocalFolder(out).remove("pictures")
    (out / "pictures").mkdir(parents=True)
    album = Album(pictures, out)
    clusters = [_cluster(answers, position, album, n_central, n_borderline) for position in order]
    text = _page(answers, clusters)
    partial = out / f".index.html.{os.getpid()}"
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(out / "index.html")
    finally:
        partial.unlink(missing_ok=True)
    return Written(out / "index.html", len(clusters), album.n_pictures)


class Album:
    """Writes each picture once; ``files``: image_id → its place beside the page, ``None`` where there is none."""

    def __init__(self, pictures: Pictures, out: Path) -> None:
        self._pictures, self._out = pictures, out
        self._files: dict[str, str | None] = {}

    @property
    def n_pictures(self) -> int:
        """Pictures that were written."""
        return sum(file is not None for file in self._files.values())

    def file(self, image_id: str) -> str | None:
        """The place of an image's picture beside the page."""
        if image_id not in self._files:
            jpeg = self._pictures.get(image_id, SMALL)
            name = f"pictures/{hashlib.sha256(image_id.encode()).hexdigest()[:24]}.jpg"
            self._files[image_id] = None if jpeg is None else name
            if jpeg is not None:
                (self._out / name).write_bytes(jpeg)
        return self._files[image_id]


def _cluster(answers: Answers, position: int, album: Album, n_central: int, n_borderline: int) -> Json:
    collection = answers.collection
    rows, medoid = collection.members[position], collection.medoid_row(position)
    parts = samples(rows, collection.margins, medoid, n_central, n_borderline)
    cards = ([answers.image_card(row) for row in part] for part in parts)
    central, borderline = ([[album.file(card["id"]), _under(card)] for card in part] for part in cards)
    near = nearest_clusters(collection.clusters.centroids, position, collection.sizes)
    card = answers.card(position, 0)
    return {
        "id": card["id"],
        "size": card["size"],
        "label": card["label"],
        "mixed": card["mixed"],
        "settled": card["status"] in ("junk", "mixed"),
        "central": central,
        "borderline": borderline,
        "neighbours": [answers.number(other) for other in near],
    }


def _under(card: Json) -> str:
    """Site and date of a picture, else its file's name."""
    return visible(" · ".join(value for value in (card["site"], card["date"]) if value) or card["name"])


def _page(answers: Answers, clusters: list[Json]) -> str:
    script = PAGE.joinpath("page.js").read_text(encoding="utf-8")
    fit = f"{answers.collection.projection.projection_id}|{answers.collection.clusters.codebook_id}"
    value = {
        "id": hashlib.sha256(f"{answers.warehouse.location}|{fit}".encode()).hexdigest()[:16],
        "clusters": clusters,
    }
    payload = json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    return Template(PAGE.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=STYLE.read_text(encoding="utf-8"),
        payload=payload,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        warehouse=html.escape(visible(answers.warehouse.location)),
    )
