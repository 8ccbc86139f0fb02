"""People's CSV files as frames, and the images that their rows name, found by joins."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.images.name_forms import FOLDED, name_forms
from imgsearch.lake.csv_files import CsvRows, csv_blocks
from imgsearch.lake.store import TableStore

#: Of several images with one name: the one whose whole path it is, then one relative to its folder, then the id.
_PATH, _RELATIVE, _ID = range(3)


def csv_frame(warehouse: TableStore, path: str, option: str, needs: Sequence[str]) -> DataFrame:
    """Every column of a CSV as text, and ``line`` (from 2). Raises ``UserError`` where it cannot be used.

    A file on the driver's disk is no file of the executors', so the driver hands it on, a block of rows at a time.
    """
    spark = warehouse.spark
    frames = (spark.createDataFrame(_table(rows, line)) for line, rows in csv_blocks(path, option, needs))
    first = next(frames)
    second = next(frames, None)
    if second is None:
        return first
    parts = [warehouse.stage(frame, option) for frame in itertools.chain([first, second], frames)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.unionByName(part)
    return whole


def _table(rows: CsvRows, line: int) -> pa.Table:
    columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]}
    return pa.table({**columns, "line": pa.array(range(line, line + len(rows)), pa.int64())})


def resolved(rows: DataFrame, images: DataFrame, column: str, to: str = "image_id") -> DataFrame:
    """``rows`` and a column ``to``: the ``image_id`` that ``column`` names, or null.

    A name is a whole path, a path relative to the ingested folder, or an ``image_id``; what is none of these as it
    stands is tried in other forms (``name_forms``). ``images``: ``image_id``, ``path``, ``source``.
    """
    named = rows.withColumn("_name", F.regexp_replace(column, r"^\./", ""))
    distinct_names, names = named.select("_name").distinct(), names_of(images)
    best = names.join(distinct_names.withColumnRenamed("_name", "name"), on="name", how="left_semi")
    best = best.groupBy("name").agg(F.min(F.struct("place", "path", "image_id")).alias("best"))
    plain = best.select(F.col("name").alias("_name"), F.col("best.image_id").alias("_plain"))
    others = otherwise_named(distinct_names.join(plain, on="_name", how="left_anti"), names, images)
    joined = named.join(plain, on="_name", how="left").join(others, on="_name", how="left")
    return joined.withColumn(to, F.coalesce("_plain", "_other")).drop("_name", "_plain", "_other")


def otherwise_named(distinct_names: DataFrame, names: DataFrame, images: DataFrame) -> DataFrame:
    """``_name`` and ``_other``: the one image that a form of the name means, by the first form that means just one."""

    def forms_of(distinct_names: pd.Series) -> pd.Series:
        return distinct_names.map(lambda name: None if name is None else name_forms(name))

    listed = F.pandas_udf(forms_of, returnType="array<string>")("_name")  # type: ignore[call-overload]
    forms = distinct_names.select("_name", F.posexplode(listed).alias("_rank", "name"))
    either = F.concat(F.lit(FOLDED), F.lower(F.trim(F.coalesce(relative(), F.col("path")))))
    every = names.select("name", "image_id").unionByName(images.select(either.alias("name"), "image_id"))
    met = forms.join(every, on="name", how="inner").groupBy("_name", "_rank")
    sole = met.agg(F.min("image_id").alias("_least"), F.max("image_id").alias("_most")).where("_least = _most")
    return sole.groupBy("_name").agg(F.min_by("_least", "_rank").alias("_other"))


def names_of(images: DataFrame) -> DataFrame:
    """``name``, ``place``, ``path``, ``image_id``: all that images may be called."""

    def called(name: Column, place: int) -> DataFrame:
        named = images.select(name.alias("name"), F.lit(place).alias("place"), "path", "image_id")
        return named.where(F.col("name").isNotNull())

    ids = called(F.col("image_id"), _ID)
    return called(F.col("path"), _PATH).unionByName(called(relative(), _RELATIVE)).unionByName(ids)


def relative() -> Column:
    """``path`` relative to ``source`` (of a glob, to the folder that it begins with); null where it is not below it."""
    folder = F.regexp_replace("source", r"/[^/]*[*?\[{].*$", "")
    folder = F.when(F.col("path") == F.col("source"), F.regexp_replace("source", "/[^/]*$", "")).otherwise(folder)
    root = F.concat(F.rtrim(folder, F.lit("/")), F.lit("/"))
    here = F.concat(F.lit(f"{Path.cwd()}/"), F.regexp_replace(root, r"^(\./)+", ""))
    below = [F.when(F.startswith(F.col("path"), r), F.substr(F.col("path"), F.length(r) + 1)) for r in (root, here)]
    return F.coalesce(*below)


def some_name(images: DataFrame) -> str:
    """A path that would have been found, for the message about one that was not."""
    name = F.coalesce(relative(), F.col("path"))
    row = images.select(F.min(F.struct(F.length(name).alias("n"), name.alias("name"))).alias("first")).first()
    return "none" if row is None or row["first"] is None else str(row["first"]["name"])
