"""Where images come from: a folder, a glob or a table as rows; and the bytes of an image that was ingested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.images.columns import column_notes, free_names
from imgsearch.images.source_tables import table_rows
from imgsearch.lake.files import Listing, find_files, with_content
from imgsearch.lake.session import n_tasks
from imgsearch.lake.store import TableStore, read_any
from imgsearch.places import SCHEME
from imgsearch.tables import CONTENTS

MAX_FOLDER_LEVELS, MAX_FOLDER_KEYS = 8, 100
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def first_paths(images: DataFrame) -> DataFrame:
    """``image_id`` and ``path``: one row an image, the first of its paths."""
    return images.groupBy("image_id").agg(F.min("path").alias("path"))


def with_bytes(warehouse: TableStore, images: DataFrame) -> DataFrame:
    """``image_id``, ``path`` and ``content``: from ``contents`` where they came in a table, else read by the worker."""
    if not warehouse.exists(CONTENTS):
        return with_content(warehouse.spark, images)
    contents = warehouse.read(CONTENTS)
    from_table = images.join(contents, on="image_id", how="inner")
    elsewhere = images.join(contents.select("image_id"), on="image_id", how="left_anti")
    return from_table.unionByName(with_content(warehouse.spark, elsewhere))


def in_tasks(warehouse: TableStore, images: DataFrame, per_task: int) -> DataFrame:
    """``with_bytes``, some ``per_task`` images in each task."""
    tasks = n_tasks(warehouse.spark, images.count(), per_task)
    return with_bytes(warehouse, images).repartition(tasks)


def read_source(
    spark: SparkSession,
    where: str,
    option: str = "input",
    *,
    with_folders: bool = True,
    follow_links: bool = False,
    stage: Callable[[DataFrame], DataFrame] | None = None,
) -> tuple[Listing, bool]:
    """What ``--input`` and ``--queries`` name: a Delta table with ``content`` or ``path``, or files.

    ``with_folders``: the names of folders become columns, which takes a Spark job. ``stage``: see ``find_files``.
    Returns the rows and whether they hold the images' bytes (a table with ``content``). Raises ``UserError``.
    """
    table = _table(spark, where)
    if table is not None:
        return table_rows(spark, table, where, option, follow_links=follow_links)
    listing = find_files(spark, where, option, follow_links=follow_links, stage=stage)
    if listing is None:
        raise UserError(f"--{option} {where}: there is no such folder, file, glob match or Delta table; check the name")
    return (_with_folders(listing) if with_folders else listing), False


def _table(spark: SparkSession, where: str) -> DataFrame | None:
    try:
        return read_any(spark, where)
    except (Py4JJavaError, AnalysisException):
        if not SCHEME.match(where):
            raise
        return None  # the listing says what is wrong with this filesystem


def starts_with(prefix: str) -> Callable[[Column], Column]:
    """A test for ``F.filter``, which gives a function of two parameters the element *and its index*."""
    return lambda name: name.startswith(prefix)


def _with_folders(listing: Listing) -> Listing:
    """Folder names as columns: ``folder`` whole, ``site=A`` as column ``site``, plain levels as ``folder_1``, …

    ``MAX_FOLDER_LEVELS`` levels are looked at, and of keys the first ``MAX_FOLDER_KEYS`` by name.
    """
    prefix = len(listing.root.rstrip("/")) + 2
    parts = F.split(F.substring(F.col("path"), prefix, 1_000_000), "/")
    files = listing.files.withColumn("_folders", F.slice(parts, 1, F.greatest(F.size(parts) - 1, F.lit(0))))
    keys, depth = _levels(files)
    columns = {"folder": F.array_join("_folders", "/")}
    for level in range(depth):
        name = F.get("_folders", F.lit(level))
        columns[f"folder_{level + 1}"] = F.when(~F.substring(name, 2, 10_000).contains("="), name)
    names = free_names(keys, taken=columns)
    for key, column in names.items():
        match = F.filter("_folders", starts_with(f"{key}="))
        columns[column] = hive_value(F.substring(F.get(match, F.lit(0)), len(key) + 2, 10_000))
    return replace(listing, files=files.withColumns(columns).drop("_folders"), notes=column_notes(names))


def _levels(files: DataFrame) -> tuple[list[str], int]:
    """The keys of folders called ``key=value``, and how many levels have folders of other names."""
    key = F.when(F.substring(F.col("name"), 2, 10_000).contains("="), F.substring_index("name", "=", 1))
    names = files.select(F.posexplode(F.slice("_folders", 1, MAX_FOLDER_LEVELS)).alias("level", "name"))
    kinds = names.groupBy(key.alias("key")).agg(F.max("level").alias("level")).orderBy("key").limit(MAX_FOLDER_KEYS + 1)
    rows = kinds.collect()
    depth = max((row["level"] + 1 for row in rows if row["key"] is None), default=0)
    return [row["key"] for row in rows if row["key"] is not None][:MAX_FOLDER_KEYS], depth


def hive_value(value: Column) -> Column:
    """A value as Hive writes it into a folder's name: percent-encoded, and with a word for null."""
    decoded = F.try_url_decode(F.replace(value, F.lit("+"), F.lit("%2B")))
    return F.when(value != HIVE_NULL, F.coalesce(decoded, value))
