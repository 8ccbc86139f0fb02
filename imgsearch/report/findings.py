"""What stands out in the exported tables, as small frames for the page: odd images, copies, mixed labels, drift."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.report.data import COPY_GROUPS, PER_GROUP, STRIP, VALUES_PER_COLUMN
from imgsearch.report.drifting import MAX_RUNS

MAX_CONFUSION = 20_000
#: Kind of a strip → the column of ``dim_image`` by which it is ordered, least first, and which images it is about.
STRIPS = {
    "odd": ("cluster_score", "is_outlier"),
    "blurred": ("sharpness", "sharpness IS NOT NULL"),
    "dark": ("brightness", "brightness IS NOT NULL"),
}


def strips(images: DataFrame) -> pd.DataFrame:
    """``kind``, ``image_id``, ``value``: the ``STRIP`` worst of each kind. ``images``: ``dim_image``."""
    parts = [
        images.where(condition)
        .select(F.lit(kind).alias("kind"), "image_id", F.col(column).cast("double").alias("value"))
        .orderBy("value", "image_id")
        .limit(STRIP)
        for kind, (column, condition) in STRIPS.items()
    ]
    return as_pandas(reduce(DataFrame.unionByName, parts))


def copies(duplicates: DataFrame) -> pd.DataFrame:
    """The largest groups of ``fact_duplicate``, the representative and the most alike images of each."""
    rows = duplicates.select("representative_id", "image_id", "kind", "score", "group_size")
    heads = rows.where("kind = 'representative'").select("representative_id", "group_size")
    largest = heads.orderBy(F.desc("group_size"), "representative_id").limit(COPY_GROUPS).select("representative_id")
    members = rows.join(F.broadcast(largest), on="representative_id", how="inner").dropDuplicates(
        ["representative_id", "image_id"]
    )
    is_other = F.col("image_id") != F.col("representative_id")
    place = F.row_number().over(Window.partitionBy("representative_id").orderBy(is_other, F.desc("score"), "image_id"))
    return as_pandas(members.withColumn("_place", place).where(F.col("_place") <= PER_GROUP).drop("_place"))


def count_copies(duplicates: DataFrame) -> tuple[int, int]:
    """How many groups there are, and how many files that are not their representative."""
    kinds = duplicates.groupBy((F.col("kind") == "representative").alias("is_head")).count().collect()
    counts = {row["is_head"]: int(row["count"]) for row in kinds}
    return counts.get(True, 0), counts.get(False, 0)


def cluster_values(images: DataFrame, columns: list[str], clusters: list[int]) -> pd.DataFrame:
    """``cluster_id``, ``column``, ``value``, ``n``: the commonest carried values of each cluster's images, as text.

    Values that one image has are left out.
    """
    empty = pd.DataFrame({"cluster_id": [], "column": [], "value": [], "n": []})
    if not columns or not clusters:
        return empty

    def pair(name: str) -> Column:
        return F.struct(F.lit(name).alias("column"), F.col(quoted_part(name)).cast("string").alias("value"))

    long = images.where(F.col("cluster_id").isin(clusters)).select(
        "cluster_id", F.inline(F.array(*(pair(name) for name in columns)))
    )
    counts = long.where("value IS NOT NULL").groupBy("cluster_id", "column", "value").agg(F.count("*").alias("n"))
    place = F.row_number().over(Window.partitionBy("cluster_id", "column").orderBy(F.desc("n"), "value"))
    common = counts.where("n > 1").withColumn("_place", place).where(F.col("_place") <= VALUES_PER_COLUMN)
    return as_pandas(common.drop("_place").orderBy("cluster_id", "column", F.desc("n"), "value"))


def confusion(images: DataFrame, clusters: DataFrame) -> pd.DataFrame:
    """``label``, ``cluster_label``, ``n``: images with a label by the name of their cluster; the commonest pairs."""
    names = clusters.select("cluster_id", F.col("label").alias("cluster_label"))
    rows = images.where("label IS NOT NULL").select("cluster_id", "label").join(names, on="cluster_id", how="left")
    counts = rows.groupBy("label", "cluster_label").agg(F.count("*").alias("n"))
    return as_pandas(counts.orderBy(F.desc("n"), "label", "cluster_label").limit(MAX_CONFUSION))


def drift(history: DataFrame) -> pd.DataFrame:
    """The last runs of ``fact_drift``."""
    columns = ["measured_at", "event", "images", "outlier_share", "mean_score", "refit_due", "reason"]
    return as_pandas(history.select(*columns).orderBy(F.desc("measured_at")).limit(MAX_RUNS))


def as_pandas(frame: DataFrame) -> pd.DataFrame:
    """A small frame on the driver; what is missing in a text column is ``None``."""
    result = frame.toArrow().to_pandas()
    return result.replace({np.nan: None}) if len(result) and result.dtypes.eq(object).any() else result
