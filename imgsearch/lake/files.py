"""Image files: found on the driver or by Spark, read on the executors.

A local file (or one on a mount that driver and executors share) is listed by the driver and opened by the Python
worker that needs it: its bytes never cross the JVM. Any other filesystem goes through Spark's ``binaryFile``, so that
whatever credentials Spark has are the ones used. Spark's reader leaves out names that begin with ``_`` or ``.``
(``_MG_1234.JPG`` is how cameras name Adobe-RGB photographs), which is one more reason to list local files here.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import ImageError
from imgsearch.lake.session import n_slots
from imgsearch.places import GLOB, SCHEME, absolute

FOUND = pa.schema([("path", pa.string()), ("n_bytes", pa.int64()), ("modified_at", pa.timestamp("us", tz="UTC"))])


@dataclass(frozen=True)
class Found:
    """Files that were found. ``files``: ``path``, ``n_bytes``, ``modified_at`` (``content`` too where Spark reads it).

    ``n_tasks``: the number of tasks that suits the work on them; ``None`` where Spark has divided them already.
    """

    root: str
    files: DataFrame
    n_tasks: int | None = None


def find_files(spark: SparkSession, where: str, max_bytes: int) -> Found | None:
    """Every file in a folder (recursively), of a glob, or the file itself; ``None`` where nothing is at ``where``."""
    if SCHEME.match(where):
        return _find_remote(spark, where, max_bytes)
    return _find_local(spark, where.removeprefix("file://").removeprefix("file:"))


def read_local(path: str) -> bytes:
    """A local file's bytes. Raises ``ImageError('unreadable')``."""
    try:
        with open(path.removeprefix("file://").removeprefix("file:"), "rb") as file:
            return file.read()
    except OSError as e:
        raise ImageError("unreadable", f"{e.strerror or type(e).__name__}") from e


def with_content(spark: SparkSession, frame: DataFrame) -> DataFrame:
    """``frame`` (with ``path``) and a ``content`` column: the bytes of remote files, null for local ones.

    A null is for the worker to read (``read_local``); a remote file that is gone stays null and is quarantined there.
    """
    remote = [row["path"] for row in frame.select("path").where(F.col("path").rlike(SCHEME.pattern)).collect()]
    if not remote:
        return frame.withColumn("content", F.lit(None).cast("binary"))
    try:
        contents = _binary_files(spark, remote)
    except AnalysisException as e:
        if "PATH_NOT_FOUND" not in str(e):
            raise
        present = [path for path in remote if _exists(spark, path)]
        if not present:
            return frame.withColumn("content", F.lit(None).cast("binary"))
        contents = _binary_files(spark, present)
    return frame.join(contents.select("path", "content"), on="path", how="left")


def _binary_files(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    return spark.read.format("binaryFile").option("__globPaths__", "false").load(list(paths))


def _exists(spark: SparkSession, path: str) -> bool:
    hadoop = spark._jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    return bool(hadoop.getFileSystem(spark._jsc.hadoopConfiguration()).exists(hadoop))


def _find_remote(spark: SparkSession, where: str, max_bytes: int) -> Found | None:
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    try:
        # Without the filter one file above maxLength fails the whole job.
        files = reader.load(where).select(
            "path",
            F.col("length").alias("n_bytes"),
            F.col("modificationTime").alias("modified_at"),
            "content",
        )
    except AnalysisException as e:
        if "PATH_NOT_FOUND" in str(e):
            return None
        raise
    large = (
        files.where(F.col("n_bytes") > max_bytes)
        .select("path", "n_bytes", "modified_at")
        .withColumn("content", F.lit(None).cast("binary"))
    )
    root = GLOB.split(where)[0].rsplit("/", 1)[0] if GLOB.search(where) else where.rstrip("/")
    return Found(root, files.where(F.col("n_bytes") <= max_bytes).unionByName(large))


def _find_local(spark: SparkSession, where: str) -> Found | None:
    path = Path(absolute(where))
    if path.exists():
        tops, root = [str(path)], str(path if path.is_dir() else path.parent)
    elif GLOB.search(str(path)):
        tops = sorted(glob.glob(str(path), recursive=True, include_hidden=True))
        # what `**` finds twice (a folder and the files in it) counts once
        root = GLOB.split(str(path))[0].rsplit("/", 1)[0] or "/"
    else:
        return None
    seen: set[str] = set()
    rows: list[tuple[str, int, int]] = []
    for top in tops:
        for name, stat in _walk(top):
            if name not in seen:
                seen.add(name)
                rows.append((name, stat.st_size, stat.st_mtime_ns // 1000))
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    table = pa.table(
        [pa.array(c, t) for c, t in zip(columns, [*FOUND.types[:2], pa.int64()], strict=True)], names=FOUND.names
    ).cast(FOUND)
    return Found(root, spark.createDataFrame(table), n_tasks(spark, len(rows)))


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Files at or under ``top``, links followed once. A name that is no UTF-8 is escaped and so ends in quarantine."""
    if not os.path.isdir(top):
        yield printable(top), os.stat(top)
        return
    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(top, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in visited:
            folders.clear()
            continue
        visited.add((here.st_dev, here.st_ino))
        folders.sort()
        for name in sorted(files):
            full = os.path.join(folder, name)
            try:
                stat = os.stat(full)
            except OSError:  # a dangling link: a row all the same, so that it is accounted for
                stat = os.lstat(full)
            yield printable(full), stat


def printable(path: str) -> str:
    """A path as text that any table can hold: bytes that are no UTF-8 become ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def n_tasks(spark: SparkSession, n_files: int) -> int:
    """Small tasks balance; tiny ones only cost. At most 256 files each, at least two tasks a slot."""
    slots = n_slots(spark)
    return max(1, min(max(slots * 2, n_files // 256), n_files))
