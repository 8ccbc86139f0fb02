"""Queries that are parts of pictures: rows with a box (``x``, ``y``, ``w``, ``h``), each cut out before it is embedded.

A box is given as shares of the picture's width and height as displayed, 0 to 1: as the review page gives it and as
``matches`` says it, whatever the size of a file. A row without any of the four numbers asks with the whole picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import ImageError
from imgsearch.images.boxes import BAD_BOX, Box, cut
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.source_tables import NO_PATH, PLACE, place_of
from imgsearch.images.sources import first_paths, with_bytes
from imgsearch.lake.files import with_content
from imgsearch.lake.local_files import OUTSIDE, content_of
from imgsearch.lake.lost_workers import is_retry
from imgsearch.lake.store import TableStore
from imgsearch.places import absolute
from imgsearch.tables import IMAGES

BOX_COLUMNS = ("x", "y", "w", "h")
CUT = "query_id string, content binary, reason string, detail string"
#: Why a row is refused before its picture is looked at, and the sentence for people.
REFUSALS = {
    "unknown_id": "no image of the gallery has this id",
    OUTSIDE: "leads out of the working folder; give absolute paths",
    NO_PATH: "the row has no path",
}


def has_boxes(columns: Sequence[str]) -> bool:
    """Whether a table of queries has the four columns of a box.

    >>> has_boxes(["path", "X", "y", "w", "h"]), has_boxes(["path", "x", "y"])
    (True, False)
    """
    return {*BOX_COLUMNS} <= {name.lower() for name in columns}


def box_of(values: Sequence[str | None]) -> Box | None:
    """The box of a row: ``values`` are x, y, w and h as text; ``None`` where none of them is given.

    Raises ``ImageError`` for what is no number, and for a box that does not lie in the picture.

    >>> box_of(["0.5", "0", "0.25", "1"]), box_of([None, "", " ", None])
    (Box(x=0.5, y=0.0, width=0.25, height=1.0), None)
    """
    texts = [(value or "").strip() for value in values]
    if not any(texts):
        return None
    try:
        box = Box(*map(float, texts))
    except ValueError:
        raise ImageError(BAD_BOX, f"x, y, w, h are {', '.join(texts)}; give four numbers, shares from 0 to 1") from None
    if not box.lies_inside:
        raise ImageError(
            BAD_BOX, f"the box {', '.join(texts)} does not lie in the picture; give x, y, w, h as shares from 0 to 1"
        )
    return box


def query_id(image_id: str, box: Box | None) -> str:
    """The id of a query: that of the whole picture, and the box after it.

    >>> query_id("ab12", Box(0.5, 0, 0.25, 1)), query_id("ab12", None)
    ('ab12#0.5,0,0.25,1', 'ab12')
    """
    return image_id if box is None else f"{image_id}#{','.join(f'{value:g}' for value in box)}"


def boxed_files(warehouse: TableStore, table: DataFrame, max_bytes: int) -> DataFrame:
    """Rows with ``content``, ``path`` or ``image_id`` (the first of them that there is) and a box → ``path``,
    ``content`` (null: for the worker to read), ``box`` (four texts), ``refusal`` (a word of ``REFUSALS``, or null)."""
    columns = {name.lower(): F.col(name) for name in table.columns}
    box = F.array(*(columns[name].cast("string") for name in BOX_COLUMNS)).alias("box")
    nothing = F.lit(None).cast("string")
    if "content" in columns:
        path = columns["path"].cast("string") if "path" in columns else nothing
        path = F.coalesce(path, F.lit("a row of the table"))
        return table.select(path.alias("path"), columns["content"].alias("content"), box, nothing.alias("refusal"))
    if "path" in columns:
        place = F.pandas_udf(place_of(absolute("."), False), returnType=PLACE)  # type: ignore[call-overload]
        rows = table.select(place(columns["path"].cast("string")).alias("place"), box)
        path = F.coalesce("place.path", F.lit("no path")).alias("path")
        rows = rows.select(path, "box", F.col("place.reason").alias("refusal")).distinct()
        return with_content(warehouse.spark, rows, max_bytes)
    rows = table.select(columns["image_id"].cast("string").alias("image_id"), box).distinct()
    files = with_bytes(warehouse, first_paths(warehouse.read(IMAGES)).join(rows, on="image_id", how="left_semi"))
    known = F.when(F.col("path").isNull(), "unknown_id").alias("refusal")
    named = rows.join(files, on="image_id", how="left")
    return named.select(F.coalesce("path", "image_id").alias("path"), "content", "box", known)


def cut_boxes(files: DataFrame, limits: DecodeLimits) -> DataFrame:
    """``boxed_files``' rows → ``path`` (of one that is refused: with its box), ``content`` of the box alone, and
    ``_cut``: the other fields of ``CUT``. A row with a reason has no bytes."""
    udf = F.pandas_udf(cut_batches(limits), returnType=CUT)  # type: ignore[call-overload]
    rows = files.withColumn("_cut", udf("path", "content", "box", "refusal"))
    where = F.concat("path", F.lit("#"), F.array_join("box", ","))
    path = F.when(F.col("_cut.reason").isNotNull(), where).otherwise(F.col("path"))
    rest = F.struct("_cut.query_id", "_cut.reason", "_cut.detail").alias("_cut")
    return rows.select(path.alias("path"), F.col("_cut.content").alias("content"), rest)


def cut_batches(limits: DecodeLimits) -> Callable[..., Iterator[pd.DataFrame]]:
    """(path, content, box, refusal) batches → frames of ``CUT``."""

    def cut_all(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.DataFrame]:
        bounds = replace(limits, apart=limits.apart or is_retry())
        for columns in batches:
            rows = [cut_row(path, data, box, why, bounds) for path, data, box, why in zip(*columns, strict=True)]
            yield pd.DataFrame(rows, columns=["query_id", "content", "reason", "detail"])

    return cut_all


def cut_row(
    path: str, content: bytes | None, box: Sequence[str | None], refusal: str | None, limits: DecodeLimits
) -> tuple[str | None, bytes, str | None, str | None]:
    """The fields of ``CUT`` for one row."""
    if refusal is not None:
        return None, b"", refusal, REFUSALS[refusal]
    try:
        place = box_of(box)
        data = content_of(path, content, limits.memory)
        name = query_id(hashlib.sha256(data).hexdigest(), place)
        return name, data if place is None else cut(data, place, limits), None, None
    except ImageError as error:
        return None, b"", error.reason, error.detail


def answered(rows: DataFrame) -> DataFrame:
    """The rows that ``udf.embed`` made of ``cut_boxes``' with the ids of their queries, and why some were refused."""

    def first(own: str, name: str) -> Column:
        return F.coalesce(F.col(f"_cut.{own}"), F.col(name))

    columns: dict[str, Any] = {
        "image_id": first("query_id", "image_id"), "reason": first("reason", "reason"),
        "detail": first("detail", "detail"),
    }  # fmt: skip
    return rows.withColumns(columns).drop("_cut")
