"""Image files: listed by the driver a page at a time, read on the executors; what is listed is what is there.

A local file (or one on a mount that driver and executors share) is opened by the Python worker that needs it: its
bytes never cross the JVM. Any other filesystem goes through Hadoop's API in the JVM (``hadoop_files``), so that
whatever credentials Spark has are the ones used. Neither leaves out a name, and a path that cannot be used is a row
with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import chain

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.lake.hadoop_files import content_column, list_remote, status_column
from imgsearch.lake.local_files import LISTING, PAGE_ROWS, file_row, find_tops, pages, read_local, walk
from imgsearch.places import SCHEME, absolute

__all__ = ["Listing", "find_files", "read_local", "with_content", "with_status"]

LOCAL_STATUS = "n_bytes bigint, modified_us bigint, reason string, detail string"
STATUS_COLUMNS = ("n_bytes", "modified_at", "etag", "reason", "detail")


@dataclass(frozen=True)
class Listing:
    """What a listing found. ``files``: the columns of ``local_files.LISTING``, and a table's own.

    ``name``: the place that was asked for, absolute. ``root``: what paths are told from; ``is_folder``: the input is
    that folder, whole. ``n_files``: of a listing; ``None`` for a table. ``notes``: what is to be said of its columns.
    """

    name: str
    files: DataFrame
    root: str = ""
    is_folder: bool = False
    n_files: int | None = None
    notes: tuple[str, ...] = ()


def find_files(
    spark: SparkSession,
    where: str,
    option: str = "input",
    *,
    follow_links: bool = False,
    stage: Callable[[DataFrame], DataFrame] | None = None,
) -> Listing | None:
    """Every file in a folder (recursively), of a glob, or the file itself; ``None`` where nothing is at ``where``.

    The driver holds one page of the listing: ``stage`` puts each of several somewhere else and reads it from there.
    Without it all stay on the driver, about 150 bytes a file.
    """
    if SCHEME.match(where):
        listing = list_remote(spark, where, option)
        if listing is None:
            return None
        root, is_folder, tables = listing
    else:
        tops = find_tops(absolute(local_path(where)))
        if tops is None:
            return None
        root, is_folder = tops.root, list(tops.places) == [tops.root]
        tables = pages(walk(tops, follow_links=follow_links), PAGE_ROWS)
    frame, n_files = _to_frame(spark, tables, stage)
    return Listing(absolute(local_path(where)), frame, root, is_folder, n_files)


def local_path(where: str) -> str:
    """A local path without its scheme.

    >>> local_path("file:///data"), local_path("file:/data"), local_path("/data")
    ('/data', '/data', '/data')
    """
    return re.sub(r"^file:(//(?=/))?", "", where)


def _to_frame(
    spark: SparkSession, tables: Iterator[pa.Table], stage: Callable[[DataFrame], DataFrame] | None
) -> tuple[DataFrame, int]:
    """Pages as one frame, and how many rows they have."""
    first = next(tables, LISTING.empty_table())
    second = next(tables, None)
    if second is None:
        return spark.createDataFrame(first), first.num_rows
    frames, n_rows = [], 0
    for table in chain((first, second), tables):
        frame = spark.createDataFrame(table)
        frames.append(frame if stage is None else stage(frame.coalesce(1)))
        n_rows += table.num_rows
    return reduce(DataFrame.union, frames), n_rows


def with_status(spark: SparkSession, frame: DataFrame) -> DataFrame:
    """``frame`` (with ``path``) and ``STATUS_COLUMNS``, asked for on the executors; nothing is opened."""
    local = F.pandas_udf(_local_status, returnType=LOCAL_STATUS)  # type: ignore[call-overload]
    is_remote = F.col("path").rlike(SCHEME.pattern)
    rows = frame.withColumn("_local", local("path"))
    modified = F.timestamp_micros("_local.modified_us")
    columns = {
        "n_bytes": F.col("_local.n_bytes"),
        "modified_at": modified,
        "etag": F.lit(None).cast("string"),
        "reason": F.col("_local.reason"),
        "detail": F.col("_local.detail"),
    }
    if not _has_remote(frame):
        return rows.withColumns(columns).drop("_local")
    rows = rows.withColumn("_remote", F.when(is_remote, status_column(spark, F.col("path"))))
    remote = {c: F.col(f"_remote.{c}") for c in ("n_bytes", "etag", "reason", "detail")}
    remote["modified_at"] = F.timestamp_millis("_remote.modified_ms")
    either = {c: F.when(is_remote, remote[c]).otherwise(columns[c]) for c in STATUS_COLUMNS}
    return rows.withColumns(either).drop("_local", "_remote")


def _local_status(paths: pd.Series) -> pd.DataFrame:
    rows = [
        (None, None, None, None) if path is None or SCHEME.match(path) else file_row(local_path(path))[1:]
        for path in paths
    ]
    frame = pd.DataFrame(rows, columns=["n_bytes", "modified_us", "reason", "detail"])
    return frame.astype({"n_bytes": "Int64", "modified_us": "Int64"})


def with_content(spark: SparkSession, frame: DataFrame, max_bytes: int = 2_000_000_000) -> DataFrame:
    """``frame`` (with ``path``) and ``content``: the bytes of remote files, null for local ones.

    A null is for the worker to read (``read_local``). A remote file that cannot be read stays null, and where ``frame``
    has ``reason`` and ``detail`` they say why. ``n_bytes``, where the frame has it, spares a request a file; rows that
    have a ``reason`` are not read.
    """
    if not _has_remote(frame):
        return frame.withColumn("content", F.lit(None).cast("binary"))
    length = F.col("n_bytes") if "n_bytes" in frame.columns else F.lit(None)
    is_read = F.col("path").rlike(SCHEME.pattern)
    if "n_bytes" in frame.columns:  # a file without bytes, or with too many, is refused by that alone
        is_read = is_read & (F.col("n_bytes").isNull() | F.col("n_bytes").between(1, max_bytes))
    if "reason" in frame.columns:
        is_read = is_read & F.col("reason").isNull()
    read = frame.withColumn("_read", F.when(is_read, content_column(spark, F.col("path"), length, max_bytes)))
    if "reason" in frame.columns:
        read = read.withColumns({c: F.coalesce(F.col(c), F.col(f"_read.{c}")) for c in ("reason", "detail")})
    return read.withColumn("content", F.col("_read.content")).drop("_read")


def _has_remote(frame: DataFrame) -> bool:
    return not frame.select("path").where(F.col("path").rlike(SCHEME.pattern)).isEmpty()
