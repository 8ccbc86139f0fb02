"""Ingest: a folder, a glob or a Delta table → ``images`` and ``quarantine``.

Every file found becomes a row of one of the two. Files stay where they are: ``images`` keeps their path and the hash
of their bytes, and ``embed`` reads them there. Only images that came as bytes in a table are kept, once per content,
in ``contents``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import IngestConfig
from imgsearch.core.images import DecodeLimits, read_header
from imgsearch.errors import ImageError, UserError
from imgsearch.lake.files import Found, find_files, read_local, with_content
from imgsearch.lake.session import n_slots
from imgsearch.lake.warehouse import Warehouse, absolute, read_any
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import CONTENTS, IMAGES, QUARANTINE

INSPECTION = "image_id string, format string, width int, height int, n_bytes bigint, reason string, detail string"
MAX_FOLDER_LEVELS = 8
OURS = frozenset(IMAGES.columns) | {"content", "n_bytes", "modified_at", "reason", "detail", "stage"}


def run(spark: SparkSession, config: IngestConfig) -> RunSummary:
    """Ingest ``config.input`` into the warehouse. Idempotent: a file that has not changed changes nothing."""
    watch = Stopwatch()
    found, holds_content = read_source(spark, config.input, config.max_bytes)
    inspected = ingest(found, config.input, config.max_pixels, config.max_bytes).persist()
    try:
        counts = inspected.agg(
            F.count("*").alias("n"),
            F.count("reason").alias("bad"),
            F.count_distinct(F.when(F.col("reason").isNull(), F.col("image_id"))).alias("distinct"),
        ).collect()[0]
        if not counts["n"]:
            raise UserError(f"--input {config.input}: there is no file in it; give a folder, glob or table with images")
        warehouse = Warehouse.open(spark, config.warehouse, create=True)
        good = inspected.where(F.col("reason").isNull())
        if holds_content:
            _keep_contents(warehouse, found.files, good)
        warehouse.merge(IMAGES, good.drop("reason", "detail"))
        if counts["bad"] or warehouse.exists(QUARANTINE):  # a file that was mended leaves the quarantine
            refused = inspected.select(
                "path", "image_id", F.lit("ingest").alias("stage"), F.lit(None).cast("string").alias("encoder_id"),
                "reason", "detail", F.current_timestamp().alias("quarantined_at"),
            )  # fmt: skip
            warehouse.merge(QUARANTINE, refused, delete=F.col("s.reason").isNull())
    finally:
        inspected.unpersist()
    n, bad = counts["n"], counts["bad"]
    return finish(
        warehouse, "ingest", watch, rows_in=n, rows_out=n - bad, quarantined=bad,
        details={"input": config.input, "distinct": counts["distinct"]},
    )  # fmt: skip


def ingest(found: Found, source: str, max_pixels: int, max_bytes: int) -> DataFrame:
    """Found files → a row each: columns of ``images``, carried metadata, ``reason`` and ``detail`` where refused."""
    files = found.files
    if "content" not in files.columns:
        files = files.withColumn("content", F.lit(None).cast("binary"))
    if "n_bytes" not in files.columns:
        files = files.withColumn("n_bytes", F.octet_length("content").cast("bigint"))
    if "modified_at" not in files.columns:
        files = files.withColumn("modified_at", F.lit(None).cast("timestamp"))
    if found.n_tasks is not None:
        files = files.repartition(found.n_tasks)
    carried = [c for c in files.columns if c not in ("content", "path", "n_bytes", "modified_at")]
    inspect = inspect_udf(max_pixels, max_bytes)
    rows = files.withColumn("_seen", inspect("path", "content", "n_bytes")).drop("content", "n_bytes")
    return rows.select(
        "_seen.image_id", "path", F.lit(source).alias("source"), "_seen.format", "_seen.width", "_seen.height",
        "_seen.n_bytes", "modified_at", F.current_timestamp().alias("ingested_at"), "_seen.reason", "_seen.detail",
        *carried,
    )  # fmt: skip


def inspect_udf(max_pixels: int, max_bytes: int) -> Callable[..., Any]:
    """A Pandas UDF: (path, content or null, n_bytes) → hash, header, or the reason why not."""

    def inspect(batches: Iterator[tuple[pd.Series, pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:
        names = [part.split()[0] for part in INSPECTION.split(", ")]
        for paths, contents, sizes in batches:
            rows = [
                inspect_one(path, content, size, max_pixels, max_bytes)
                for path, content, size in zip(paths, contents, sizes, strict=True)
            ]
            frame = pd.DataFrame(rows, columns=names)
            yield frame.astype({"width": "Int32", "height": "Int32", "n_bytes": "Int64"})

    return F.pandas_udf(inspect, returnType=INSPECTION)  # type: ignore[call-overload]


def inspect_one(
    path: str, content: bytes | None, n_bytes: float | None, max_pixels: int, max_bytes: int
) -> tuple[str | None, str | None, int | None, int | None, int | None, str | None, str | None]:
    """One file → (image_id, format, width, height, n_bytes, reason, detail); the last two null where it is usable."""
    size = None if n_bytes is None or n_bytes != n_bytes else int(n_bytes)
    image_id = None
    try:
        if size is not None and size > max_bytes:
            raise ImageError("too_large", f"{size:,} bytes; --max-bytes is {max_bytes:,}")
        data = content if content is not None else read_local(path)
        size = len(data)
        image_id = hashlib.sha256(data).hexdigest()
        header = read_header(data, DecodeLimits(max_pixels=max_pixels))
        return image_id, header.format, header.width, header.height, size, None, None
    except ImageError as e:
        return image_id, None, None, None, size, e.reason, e.detail


def read_source(spark: SparkSession, where: str, max_bytes: int, option: str = "input") -> tuple[Found, bool]:
    """What ``--input`` and ``--queries`` name: a Delta table with ``content`` or ``path``, or files.

    Returns the rows and whether they hold the images' bytes (a table with ``content``). Raises ``UserError``.
    """
    table = read_any(spark, where)
    if table is None:
        found = find_files(spark, where, max_bytes)
        if found is None:
            raise UserError(
                f"--{option} {where}: there is no such folder, file, glob match or Delta table; check the name"
            )
        return Found(found.root, _with_folders(found), found.n_tasks), False
    columns = {c.lower(): c for c in table.columns}
    if "content" not in columns and "path" not in columns:
        raise UserError(
            f"--{option} {where}: the table has neither a 'content' nor a 'path' column (it has {table.columns}); "
            "rename the one that holds the image's bytes or its path"
        )
    kept = _carry_columns(table)
    if "content" in columns:
        if dict(table.dtypes)[columns["content"]] != "binary":
            raise UserError(
                f"--{option} {where}: column 'content' is {dict(table.dtypes)[columns['content']]}, not binary; "
                "cast it, or name a column of paths 'path'"
            )
        # A row needs a name: its path if it has one, else the hash of its bytes.
        digest = F.concat(F.lit(where.rstrip("/") + "#"), F.sha2(F.coalesce(F.col("content"), F.lit(b"")), 256))
        if "path" in columns:
            kept = kept.withColumn("path", F.coalesce(F.col("path"), digest))
        else:
            kept = kept.withColumn("path", digest)
        kept = kept.withColumn("content", F.coalesce(F.col("content"), F.lit(b"")))
        return Found(where, kept.dropDuplicates(["path"])), True
    here = absolute(".")
    whole = F.when(F.col("path").rlike(r"^([A-Za-z][\w+.-]*:)?/"), F.col("path")).otherwise(
        F.concat(F.lit(here + "/"), F.col("path"))
    )
    paths = kept.withColumn("path", whole).where(F.col("path").isNotNull()).dropDuplicates(["path"])
    n_partitions = max(1, n_slots(spark) * 4)
    return Found(where, with_content(spark, paths.repartition(n_partitions))), False


def _carry_columns(table: DataFrame) -> DataFrame:
    """The user's columns beside ``content`` and ``path``; names that are ours get ``meta_`` before them."""
    selected = []
    for name, kind in table.dtypes:
        if name.lower() in ("content", "path"):
            selected.append(F.col(f"`{name}`").alias(name.lower()))
        elif name.lower() in OURS or name.lower().startswith("_"):
            selected.append(F.col(f"`{name}`").alias(f"meta_{column_name(name.lower().lstrip('_'))}"))
        elif kind != "binary" and not kind.startswith(("udt", "interval")):
            selected.append(F.col(f"`{name}`").alias(column_name(name)))
    return table.select(*selected)


def column_name(name: str) -> str:
    """A name that every Delta table takes: what Parquet refuses becomes ``_``.

    >>> column_name("visit date (UTC)")
    'visit_date__UTC_'
    """
    return re.sub(r"[ ,;{}()\n\t=`]", "_", name)


def starts_with(prefix: str) -> Callable[[Column], Column]:
    """A test for ``F.filter``, which gives a function of two parameters the element *and its index*."""
    return lambda name: name.startswith(prefix)


def _with_folders(found: Found) -> DataFrame:
    """Folder names as columns: ``folder`` whole, ``site=A`` as column ``site``, plain levels as ``folder_1``, …"""
    prefix = len(found.root.rstrip("/")) + 2
    parts = F.split(F.substring(F.col("path"), prefix, 1_000_000), "/")
    files = found.files.withColumn("_folders", F.slice(parts, 1, F.greatest(F.size(parts) - 1, F.lit(0))))
    levels = (
        files.select(F.posexplode(F.slice("_folders", 1, MAX_FOLDER_LEVELS)).alias("level", "name"))
        .select(
            "level",
            F.when(F.substring(F.col("name"), 2, 10_000).contains("="), F.substring_index("name", "=", 1)).alias("key"),
        )
        .distinct()
        .collect()
    )
    keys = sorted({row["key"] for row in levels if row["key"] is not None})
    depth = max((row["level"] + 1 for row in levels if row["key"] is None), default=0)
    columns = {"folder": F.array_join("_folders", "/")}
    for level in range(depth):
        name = F.get("_folders", F.lit(level))
        columns[f"folder_{level + 1}"] = F.when(~F.substring(name, 2, 10_000).contains("="), name)
    for key in keys:
        column = f"meta_{column_name(key)}" if key.lower() in OURS else column_name(key)
        match = F.filter("_folders", starts_with(f"{key}="))
        columns[column] = F.substring(F.get(match, F.lit(0)), len(key) + 2, 10_000)
    return files.withColumns(columns).drop("_folders")


def _keep_contents(warehouse: Warehouse, files: DataFrame, good: DataFrame) -> None:
    """Append the bytes of images that are not in ``contents`` yet, once per content."""
    known = warehouse.read_or_empty(CONTENTS).select("image_id")
    first = good.groupBy("image_id").agg(F.min("path").alias("path")).join(known, on="image_id", how="left_anti")
    warehouse.append(CONTENTS, files.select("path", "content").join(first, on="path").select("image_id", "content"))
