"""The geometric check of a search's first matches: those that show the query's own thing come ahead of the others.

The check abstains where it finds too few inliers: such a match keeps its place behind the verified ones, because things
that are not flat (a bottle from another side) have few in any two of their photographs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.geometry.frames import Check, checked, feature_rows
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.sources import first_paths, in_tasks
from imgsearch.lake.store import TableStore
from imgsearch.retrieval.join import image_key
from imgsearch.retrieval.queries import QueryBatch
from imgsearch.topk.topk import NOBODY

#: Matches of a query that are checked, and the inliers from which one is verified.
FIRST, VERIFIED = 10, 15
#: Pictures that one task looks at.
TASK_IMAGES = 256


def verified(warehouse: TableStore, queries: QueryBatch, matches: DataFrame, images: DataFrame) -> DataFrame:
    """``join.search``'s ``matches`` with ``inliers`` (null: not checked); of each query's first ``FIRST`` those with
    ``VERIFIED`` inliers come first, in their order, and then the others in theirs. ``images``: the gallery's."""
    own = _own(warehouse, queries)
    first = matches.where(F.col("rank") <= FIRST).select("query_row", F.col("image_key").alias("right_key"))
    pairs = warehouse.stage(first.join(F.broadcast(own), on="query_row", how="inner"), "first")
    keys = pairs.select(F.col("right_key").alias("image_key")).distinct()
    files = first_paths(images).withColumn("image_key", image_key("image_id"))
    files = files.join(keys, on="image_key", how="left_semi").select("image_id", "path")
    asked = own.select("image_id", "path").join(files.select("image_id"), on="image_id", how="left_anti")
    looked_at = files.unionByName(asked).dropDuplicates(["image_id"])
    features = feature_rows(in_tasks(warehouse, looked_at, TASK_IMAGES), DecodeLimits())
    features = warehouse.stage(features, "features")
    judged = checked(pairs.select("query_row", "left_key", "right_key"), features, Check(copy=False))
    inliers = judged.select("query_row", F.col("right_key").alias("image_key"), "inliers")
    is_ahead = F.coalesce(F.col("inliers") >= F.lit(VERIFIED), F.lit(False))
    order = Window.partitionBy("query_row").orderBy(F.desc("is_ahead"), "rank")
    ranked = matches.join(inliers, on=["query_row", "image_key"], how="left").withColumn("is_ahead", is_ahead)
    return ranked.withColumn("rank", F.row_number().over(order)).drop("is_ahead")


def _own(warehouse: TableStore, queries: QueryBatch) -> DataFrame:
    """``query_row``, ``left_key``, ``image_id``, ``path`` of the queries that are pictures."""
    keys = queries.own
    rows = [i for i, path in enumerate(queries.paths) if path is not None and keys[i] != NOBODY]
    return warehouse.spark.createDataFrame(
        pa.table(
            {
                "query_row": np.array(rows, np.int32),
                "left_key": keys[rows],
                "image_id": pa.array([queries.ids[i] for i in rows], pa.string()),
                "path": pa.array([queries.paths[i] for i in rows], pa.string()),
            }
        )
    )
