"""Groups without chains from a frame of pairs: the rule of ``pairs.group``, in rounds over joins.

A row stands for its group when no neighbour that could still do so comes before it (most neighbours first, then the
lowest key). All such rows of a round are chosen at once, and their neighbours are out: the answer is the greedy one of
``pairs.group``. Rounds go on until the pairs that are left are few enough for the driver, which finishes in one step.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.duplicates.near import Stage
from imgsearch.duplicates.pairs import representatives
from imgsearch.vectors import Ids

#: Pairs that the driver takes: 32 bytes each.
DRIVER_PAIRS = 500_000
GROUPED_SCHEMA = "image_key bigint, representative_key bigint, score float"


def groups(pairs: DataFrame, weights: DataFrame, stage: Stage, driver_pairs: int = DRIVER_PAIRS) -> DataFrame:
    """``GROUPED_SCHEMA``: every key of a pair that is no representative, with the best one of its neighbours.

    ``pairs``: ``left_key``, ``right_key``, ``score``, each pair once. ``weights``: ``image_key`` and ``weight``, how
    many rows it stands for; 1 where it has none.
    """
    edges = stage(_with_priorities(pairs, weights), "edges")
    chosen = _representatives(edges, stage, driver_pairs)
    joins = edges.join(chosen, on=F.col("target") == F.col("key"), how="left_semi").join(
        chosen, on=F.col("source") == F.col("key"), how="left_anti"
    )
    best = joins.groupBy("source").agg(F.max(F.struct("score", (-F.col("target")).alias("lowest"))).alias("best"))
    return best.select(
        F.col("source").alias("image_key"), (-F.col("best.lowest")).alias("representative_key"), F.col("best.score")
    )


def _with_priorities(pairs: DataFrame, weights: DataFrame) -> DataFrame:
    """Every pair in both orders, with ``source_priority`` and ``target_priority``."""
    forth = pairs.select(F.col("left_key").alias("source"), F.col("right_key").alias("target"), "score")
    back = pairs.select(F.col("right_key").alias("source"), F.col("left_key").alias("target"), "score")
    both = forth.unionByName(back)
    keys = both.select(F.col("source").alias("key")).distinct()
    weight = keys.join(weights.withColumnRenamed("image_key", "key"), on="key", how="left")
    weight = weight.select("key", F.coalesce("weight", F.lit(1)).cast("bigint").alias("weight"))
    around = both.join(weight.withColumnRenamed("key", "target"), on="target", how="inner")
    around = around.groupBy(F.col("source").alias("key")).agg(F.sum("weight").alias("around"))
    priority = around.join(weight, on="key", how="inner").select("key", (F.col("around") + F.col("weight")).alias("p"))
    for side in ("source", "target"):
        named = priority.select(F.col("key").alias(side), F.col("p").alias(f"{side}_priority"))
        both = both.join(named, on=side, how="inner")
    return both


def _representatives(edges: DataFrame, stage: Stage, driver_pairs: int) -> DataFrame:
    """``key``: the rows that stand for a group."""
    left = edges.drop("score")
    parts: list[DataFrame] = []
    number = 0
    while left.count() > 2 * driver_pairs:  # every pair is there twice
        number += 1
        chosen, left = _round(left, stage, number)
        parts.append(chosen)
    parts.append(_finish(edges.sparkSession, left))
    return stage(reduce(DataFrame.unionByName, parts), "representatives")


def _round(left: DataFrame, stage: Stage, number: int) -> tuple[DataFrame, DataFrame]:
    """The rows that are chosen now, and the edges among those that are still undecided."""
    first = (F.col("target_priority") > F.col("source_priority")) | (
        (F.col("target_priority") == F.col("source_priority")) & (F.col("target") < F.col("source"))
    )
    nodes = left.groupBy(F.col("source").alias("key")).agg(F.max(first).alias("waits"))
    chosen = stage(nodes.where(~F.col("waits")).select("key"), f"chosen{number}")
    reached = left.join(chosen, on=F.col("source") == F.col("key"), how="left_semi").select(
        F.col("target").alias("key")
    )
    gone = chosen.unionByName(reached).distinct()
    rest = left.join(gone, on=F.col("source") == F.col("key"), how="left_anti")
    rest = stage(rest.join(gone, on=F.col("target") == F.col("key"), how="left_anti"), f"undecided{number}")
    alone = nodes.select("key").join(gone, on="key", how="left_anti")
    alone = alone.join(rest.select(F.col("source").alias("key")).distinct(), on="key", how="left_anti")
    return stage(chosen.unionByName(alone), f"decided{number}"), rest


def _finish(spark: SparkSession, left: DataFrame) -> DataFrame:
    """The same rule on the driver, for the pairs that are left."""
    upper = left.where(F.col("source") < F.col("target"))
    table = upper.select("source", "target", "source_priority", "target_priority").toArrow()
    source, target, one, other = (table.column(i).to_numpy() for i in range(4))
    keys, first = np.unique(np.append(source, target), return_index=True)
    rows: tuple[Ids, Ids] = (np.searchsorted(keys, source), np.searchsorted(keys, target))
    chosen = keys[representatives(*rows, np.append(one, other)[first])]
    return spark.createDataFrame(pa.table({"key": pa.array(chosen, pa.int64())}))
