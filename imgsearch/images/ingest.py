"""Ingest: a folder, a glob or a Delta table → ``images`` and ``quarantine``.

Every file found becomes a row of one of the two. Files stay where they are: ``images`` keeps their path and the hash
of their bytes, and ``embed`` reads them there. Only images that came as bytes in a table are kept, once per content,
in ``contents``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import IngestConfig
from imgsearch.errors import ImageError, UserError
from imgsearch.images.decode import DecodeLimits, read_header
from imgsearch.images.sources import read_source
from imgsearch.lake.files import Found, read_local
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.tables import CONTENTS, IMAGES, QUARANTINE

INSPECTION = "image_id string, format string, width int, height int, n_bytes bigint, reason string, detail string"


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
        warehouse = TableStore.open(spark, config.warehouse, create=True)
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


def _keep_contents(warehouse: TableStore, files: DataFrame, good: DataFrame) -> None:
    """Add the bytes of images that are not in ``contents`` yet, once per content."""
    known = warehouse.read_or_empty(CONTENTS).select("image_id")
    first = good.groupBy("image_id").agg(F.min("path").alias("path")).join(known, on="image_id", how="left_anti")
    warehouse.insert_new(CONTENTS, files.select("path", "content").join(first, on="path").select("image_id", "content"))
