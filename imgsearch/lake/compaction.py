"""Small files of a table are joined when they have become many, so that the tenth small run costs what the second did.

Every run that adds a few rows to a table adds a file to it. Each ``EVERY`` versions a job that has written a table
counts its small files, and above ``MANY`` lets Delta join them (``OPTIMIZE``), into files that are never small again:
what is written over is about what was added, not the table. The old files stay for time travel until ``VACUUM``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake.store import TableStore
from imgsearch.tables import ALL_TABLES, VECTORS, TableSpec

EVERY, MANY = 16, 32
MEGABYTE = 1 << 20
#: Files below the first size are small, and are joined up to the second. ``vectors`` has small files on purpose.
SIZES = {VECTORS.name: (MEGABYTE, 4 * MEGABYTE)}
DEFAULT_SIZES = (64 * MEGABYTE, 256 * MEGABYTE)


def tidy(warehouse: TableStore) -> list[str]:
    """Join the small files of tables that this run has written, where it is time; returns the names of the tables."""
    written = [spec for spec in ALL_TABLES if is_time(warehouse.versions_written.get(spec.name, 0))]
    due = [spec for spec in written if n_small_files(warehouse, spec) > MANY]
    for spec in due:
        compact(warehouse, spec)
    return [spec.name for spec in due]


def is_time(version: int) -> bool:
    """Whether a table of this version is looked at: once or twice in ``EVERY``, since a run may commit several times.

    >>> [version for version in range(40) if is_time(version)]
    [16, 17, 18, 32, 33, 34]
    """
    return version >= EVERY and version % EVERY < 3


def n_small_files(warehouse: TableStore, spec: TableSpec) -> int:
    """How many of a table's files are small. Delta's own statistics answer for few files, and no row is read."""
    n_files = warehouse.delta(spec).detail().select("numFiles").collect()[0]["numFiles"]
    if n_files <= MANY:
        return 0
    files = warehouse.delta(spec).toDF().select("_metadata.file_path", "_metadata.file_size")
    return files.where(F.col("file_size") < _sizes(spec)[0]).select("file_path").distinct().count()


def _sizes(spec: TableSpec) -> tuple[int, int]:
    return SIZES.get(spec.name, DEFAULT_SIZES)


def compact(warehouse: TableStore, spec: TableSpec) -> None:
    """Join a table's small files. Where other runs are too busy with it, a later one joins them."""
    small, large = _sizes(spec)
    sizes = {"minFileSize": small, "maxFileSize": large}
    settings = {f"spark.databricks.delta.optimize.{name}": str(size) for name, size in sizes.items()}
    with _set(warehouse.spark, settings), suppress(UserError):
        warehouse.optimize(spec)


@contextmanager
def _set(spark: SparkSession, settings: dict[str, str]) -> Iterator[None]:
    before: dict[str, Any] = {name: spark.conf.get(name, None) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value) if value is not None else spark.conf.unset(name)
