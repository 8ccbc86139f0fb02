"""A Delta table of images as rows: with the bytes in ``content``, or with the ``path`` of each file.

Every row of the table is accounted for. Rows that name one image (the same path and the same bytes) are one row here,
which counts them in ``n_rows``; its metadata is that of the first by its JSON text. One path with several contents is
several images: the hash of the content is added to each of their paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.images.columns import RESERVED, carried_kind, column_notes, free_names
from imgsearch.lake.files import STATUS_COLUMNS, Listing, local_path, with_status
from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.local_files import OUTSIDE
from imgsearch.lake.session import n_slots
from imgsearch.places import CATALOG_NAME, SCHEME, absolute

NO_PATH = "no_path"
PLACE = "path string, reason string"


def table_rows(
    spark: SparkSession, table: DataFrame, where: str, option: str, *, follow_links: bool = False
) -> tuple[Listing, bool]:
    """The rows of a table, and whether they hold the images' bytes. Raises ``UserError`` for a table of another kind.

    With ``content`` a row's ``path`` may be null and may repeat until ``distinct_images`` has seen the hashes.
    """
    columns = {c.lower(): c for c in table.columns}
    if "content" not in columns and "path" not in columns:
        raise UserError(
            f"--{option} {where}: the table has neither a 'content' nor a 'path' column (it has {table.columns}); "
            "rename the one that holds the image's bytes or its path"
        )
    rows, notes = carry_columns(table)
    name = source_name(where)
    if "content" not in columns:
        return Listing(name, _paths(spark, rows, name, follow_links), notes=notes), False
    kind = dict(table.dtypes)[columns["content"]]
    if kind != "binary":
        raise UserError(
            f"--{option} {where}: column 'content' is {kind}, not binary; cast it, or name a column of paths 'path'"
        )
    nothing = {c: F.lit(None).cast("string") for c in STATUS_COLUMNS} | {"path": F.lit(None).cast("string")}
    nothing["modified_at"] = F.lit(None).cast("timestamp")
    if "path" in columns:
        nothing["path"] = F.col("path").cast("string")
    content = F.coalesce(F.col("content"), F.lit(b""))
    size = {"content": content, "n_bytes": F.octet_length(content).cast("bigint")}
    return Listing(name, rows.withColumns(nothing | size), notes=notes), True


def source_name(where: str) -> str:
    """What ``images.source`` says: a name in a catalog as it is, else an absolute path or a URI."""
    return where if CATALOG_NAME.match(where) and not Path(where).exists() else absolute(local_path(where))


def distinct_images(rows: DataFrame, where: str) -> DataFrame:
    """Inspected rows of a table with ``content`` → one a path and content, with a path of its own, and ``n_rows``."""
    named = rows.withColumn(
        "path", F.coalesce("path", F.concat(F.lit(where.rstrip("/") + "#"), F.coalesce("image_id", F.lit("too large"))))
    )
    contents = F.size(F.collect_set("image_id").over(Window.partitionBy("path")))
    named = named.withColumn("_contents", contents)
    path = F.when(F.col("_contents") > 1, F.concat("path", F.lit("#"), "image_id")).otherwise(F.col("path"))
    return first_rows(named.withColumn("path", path).drop("_contents"))


def first_rows(rows: DataFrame) -> DataFrame:
    """One row a ``path``: the first by the JSON text of its metadata. ``n_rows``: how many there were."""
    metadata = [F.col(quoted_part(c)) for c in rows.columns if c not in RESERVED and not c.startswith("_")]
    order = F.to_json(F.struct(*metadata)) if metadata else F.lit("")
    same = Window.partitionBy("path")
    counted = rows.withColumns({"n_rows": F.count("*").over(same), "_order": order})
    return counted.withColumn("_at", F.row_number().over(same.orderBy("_order"))).where("_at = 1").drop("_order", "_at")


def _paths(spark: SparkSession, rows: DataFrame, where: str, follow_links: bool) -> DataFrame:
    """Rows of a table of paths: absolute, one a path, with the status of each file."""
    place = F.pandas_udf(place_of(absolute("."), follow_links), returnType=PLACE)  # type: ignore[call-overload]
    placed = rows.withColumn("_place", place(F.col("path").cast("string")))
    placed = placed.withColumns({"path": F.col("_place.path"), "_refusal": F.col("_place.reason")}).drop("_place")
    placed = placed.withColumn("path", F.coalesce("path", F.lit(where.rstrip("/") + "#no path")))
    files = first_rows(placed).repartition(max(1, n_slots(spark) * 4))
    files = with_status(spark, files)
    refusal = F.col("_refusal")
    why = {OUTSIDE: "leads out of the working folder; give absolute paths, or --follow-links", NO_PATH: "no path"}
    detail = F.coalesce(*[F.when(refusal == reason, F.lit(text)) for reason, text in why.items()], F.col("detail"))
    return files.withColumns({"reason": F.coalesce(refusal, F.col("reason")), "detail": detail}).drop("_refusal")


def place_of(here: str, follow_links: bool) -> Callable[[pd.Series], pd.DataFrame]:
    """A function from paths (absolute, or relative to ``here``) to absolute ones, or why not."""

    def place(path: Any) -> tuple[str | None, str | None]:
        if path is None or not path.strip():
            return None, NO_PATH
        if SCHEME.match(path):
            return path, None
        local = local_path(path)
        whole = os.path.normpath(os.path.join(here, local))
        leads_out = not os.path.isabs(local) and not f"{whole}/".startswith(f"{here.rstrip('/')}/")
        return whole, OUTSIDE if leads_out and not follow_links else None

    def places(paths: pd.Series) -> pd.DataFrame:
        return pd.DataFrame([place(path) for path in paths], columns=["path", "reason"])

    return places


def carry_columns(table: DataFrame) -> tuple[DataFrame, tuple[str, ...]]:
    """``content`` and ``path`` as the table has them, and its other columns under names that are free; what to say."""
    content_columns = {c.lower(): c for c in table.columns if c.lower() in ("content", "path")}
    kinds = {c: kind for c, kind in table.dtypes if c not in content_columns.values()}
    left_out = {c: kind for c, kind in kinds.items() if carried_kind(kind) is None}
    others = free_names(c for c in kinds if c not in left_out)
    named = [F.col(quoted_part(c)).alias(name) for name, c in content_columns.items()]
    carried = [_carried(c, kinds[c]).alias(name) for c, name in others.items()]
    return table.select(*named, *carried), column_notes(others, left_out)


def _carried(column: str, kind: str) -> Column:
    value, text = F.col(quoted_part(column)), carried_kind(kind)
    return value if text is None or text == kind else value.cast(text)
