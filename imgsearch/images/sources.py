"""Where images come from: a folder, a glob or a table as rows; and the bytes of an image that was ingested."""

from __future__ import annotations

import re
from collections.abc import Callable

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake.files import Found, find_files, with_content
from imgsearch.lake.session import n_slots
from imgsearch.lake.store import TableStore, read_any
from imgsearch.places import absolute
from imgsearch.tables import CONTENTS, IMAGES


def with_bytes(warehouse: TableStore, images: DataFrame) -> DataFrame:
    """``image_id``, ``path`` and ``content``: from ``contents`` where they came in a table, else read by the worker."""
    if not warehouse.exists(CONTENTS):
        return with_content(warehouse.spark, images)
    contents = warehouse.read(CONTENTS)
    held = images.join(contents, on="image_id", how="inner")
    elsewhere = images.join(contents.select("image_id"), on="image_id", how="left_anti")
    return held.unionByName(with_content(warehouse.spark, elsewhere))


MAX_FOLDER_LEVELS = 8

OURS = frozenset(IMAGES.columns) | {"content", "n_bytes", "modified_at", "reason", "detail", "stage"}


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
