"""Thumbnails as a frame: images in, JPEG bytes out, from the table that ``embed`` wrote, or made by the workers."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.images.decode import DecodeLimits
from imgsearch.images.sources import in_tasks
from imgsearch.lake.files import read_local
from imgsearch.lake.lost_workers import is_retry
from imgsearch.lake.store import TableStore
from imgsearch.report.thumbnails import data_uri, thumbnail_of
from imgsearch.tables import THUMBNAILS

TASK_IMAGES = 64  # a decode takes 5 to 50 ms


def thumbnails_of(warehouse: TableStore, files: DataFrame) -> DataFrame:
    """``image_id`` and ``path`` (few) → ``image_id`` and ``thumbnail``, JPEG bytes, of those that have one.

    What ``embed`` has not left in ``thumbnails`` (older warehouses, queries) is decoded.
    """
    stored = warehouse.read_or_empty(THUMBNAILS)
    kept = stored.join(F.broadcast(files.select("image_id")), on="image_id", how="left_semi")
    lacking = files.join(stored.select("image_id"), on="image_id", how="left_anti")
    lacking = warehouse.stage(lacking, "no-thumbnail")
    made = thumbnails(in_tasks(warehouse, lacking, TASK_IMAGES))
    return kept.select("image_id", "thumbnail").unionByName(made.where("thumbnail IS NOT NULL"))


def thumbnails(images: DataFrame) -> DataFrame:
    """``image_id``, ``path`` and ``content`` (or null) → ``image_id`` and ``thumbnail``, JPEG bytes or null."""

    def shrink(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        limits = DecodeLimits(apart=is_retry())
        for batch in batches:
            small = []
            columns = (batch.column(name) for name in ("image_id", "path", "content"))
            for image_id, path, content in zip(*columns, strict=True):
                try:
                    data = content.as_py() if content.is_valid else read_local(path.as_py())
                    small.append(thumbnail_of(image_id.as_py(), data, limits))
                except Exception:  # a picture of a picture is never worth a failed export
                    small.append(None)
            yield pa.RecordBatch.from_arrays(
                [batch.column("image_id"), pa.array(small, pa.binary())], names=["image_id", "thumbnail"]
            )

    return images.select("image_id", "path", "content").mapInArrow(shrink, "image_id string, thumbnail binary")


def data_uris(small: DataFrame) -> DataFrame:
    """``image_id`` and ``thumbnail``, never null → ``image_id`` and ``data_uri``, a text that a BI tool shows."""

    def as_text(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts = [data_uri(jpeg) for jpeg in batch.column("thumbnail").to_pylist()]
            yield pa.RecordBatch.from_arrays(
                [batch.column("image_id"), pa.array(texts, pa.string())], names=["image_id", "data_uri"]
            )

    return small.select("image_id", "thumbnail").mapInArrow(as_text, "image_id string, data_uri string")
