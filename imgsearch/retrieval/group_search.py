"""Group ranking: which *things* a query shows, by the votes of their best-scoring images."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.retrieval.groups import rank_groups
from imgsearch.retrieval.join import image_key
from imgsearch.vectors import Ids

SUPPORT_SCHEMA = (
    "query_row int, rank int, group_value string, group_score float, image_rank int, image_key bigint, score float, "
    "is_open boolean"
)
#: Images per query beyond which a ranking is taken as it is.
MAX_DEPTH = 10_000
QUERIES_A_TASK = 256


class Grouping(NamedTuple):
    """``top_k`` groups a query, each by the mean of its ``best`` best images."""

    column: str
    top_k: int
    best: int


def first_depth(grouping: Grouping, size: int) -> int:
    """Images per query to begin with; a ranking that is not final asks for four times as many."""
    return min(size, MAX_DEPTH, max(50, 4 * grouping.top_k * grouping.best))


def search_groups(
    find: Callable[[Ids, int], DataFrame],
    n_queries: int,
    images: DataFrame,
    grouping: Grouping,
    size: int,
    stage: Callable[[DataFrame, str], DataFrame],
) -> tuple[DataFrame, int]:
    """The columns of ``SUPPORT_SCHEMA``, and how many queries were ranked by their ``MAX_DEPTH`` best images only.

    ``find(rows, depth)``: the ``depth`` best images of the queries ``rows``, as ``join.search`` gives them but with
    ``query_row`` counted in ``rows``. ``images``: ``image_id`` and the column to group by; an image found under several
    paths votes for the group of each. Searches deeper for those queries whose ranking unseen images could change.
    ``stage``: computes a frame once. The driver sees the numbers of those queries.
    """
    named = images.select(
        "image_id", F.col(quoted_part(grouping.column)).cast("string").alias("group_value")
    ).distinct()
    named = named.where(F.col("group_value").isNotNull())
    sizes = named.groupBy("group_value").agg(F.count("*").alias("size"))
    members = named.join(sizes, on="group_value", how="inner").withColumn("image_key", image_key("image_id"))
    members = members.select("image_key", "group_value", "size").persist()
    try:
        rows, depth = np.arange(n_queries), first_depth(grouping, size)
        parts: list[DataFrame] = []
        while True:
            ranked = stage(rank(find(rows, depth), members, grouping, depth, size), "ranked")
            still = ranked.where("is_open").select("query_row").distinct().toArrow().column(0).to_numpy()
            last = depth >= min(size, MAX_DEPTH)
            parts.append(_renumbered(ranked if last else ranked.where("NOT is_open"), rows))
            if last or not len(still):
                break
            rows, depth = rows[np.sort(still)], min(size, MAX_DEPTH, depth * 4)
        n_cut = len(still) if last and depth < size else 0
        return reduce(DataFrame.unionByName, parts).drop("is_open"), n_cut
    finally:
        members.unpersist()


def n_without_group(images: DataFrame, column: str) -> int:
    """Images with no value of ``column`` under any of their paths."""
    valued = images.groupBy("image_id").agg(F.count(F.col(quoted_part(column))).alias("n"))
    return valued.where(F.col("n") == 0).count()


def rank(ranked: DataFrame, members: DataFrame, grouping: Grouping, depth: int, size: int) -> DataFrame:
    """``join.search``'s rows → ``SUPPORT_SCHEMA``. A query with fewer than ``depth`` rows has seen all images."""
    floors = ranked.groupBy("query_row").agg(F.min("score").alias("floor"), F.count("*").alias("n"))
    floors = floors.withColumn("floor", F.when(F.col("n") >= depth, F.col("floor"))).drop("n")
    if depth >= size:
        floors = floors.withColumn("floor", F.lit(None).cast("float"))
    voters = ranked.join(members, on="image_key", how="inner").join(floors, on="query_row", how="inner")
    voters = voters.select("query_row", "image_key", "score", "group_value", "size", "floor")
    return (
        voters.withColumn("part", F.floor(F.col("query_row") / F.lit(QUERIES_A_TASK)))
        .groupBy("part")
        .applyInArrow(rank_part(grouping.top_k, grouping.best), SUPPORT_SCHEMA)
    )


def rank_part(top_k: int, best: int) -> Callable[[pa.Table], pa.Table]:
    """All voters of some queries → their ``SUPPORT_SCHEMA``."""

    def rank_all(voters: pa.Table) -> pa.Table:
        queries = voters.column("query_row").to_numpy().astype(np.int64)
        values, codes = np.unique(np.array(voters.column("group_value").to_pylist(), object), return_inverse=True)
        floor = voters.column("floor").to_numpy(zero_copy_only=False)
        bounded = ~np.isnan(floor.astype(np.float64))
        floors = dict(zip(queries[bounded].tolist(), floor[bounded].tolist(), strict=True))
        keys, scores = voters.column("image_key").to_numpy(), voters.column("score").to_numpy()
        sizes = voters.column("size").to_numpy()
        result = rank_groups(queries, codes.astype(np.int64), sizes, keys, scores, floors, top_k, best)
        return pa.table(
            {
                "query_row": pa.array(result.queries, pa.int32()),
                "rank": pa.array(result.ranks, pa.int32()),
                "group_value": pa.array(values[result.groups].tolist(), pa.string()),
                "group_score": pa.array(result.group_scores, pa.float32()),
                "image_rank": pa.array(result.image_ranks, pa.int32()),
                "image_key": pa.array(keys[result.rows], pa.int64()),
                "score": pa.array(scores[result.rows], pa.float32()),
                "is_open": pa.array(np.isin(result.queries, result.open_queries)),
            }
        )

    return rank_all


def _renumbered(ranked: DataFrame, rows: Ids) -> DataFrame:
    """``query_row`` counted in all queries again."""
    numbers = pa.table({"query_row": np.arange(len(rows), dtype=np.int32), "_all": rows.astype(np.int32)})
    frame = F.broadcast(ranked.sparkSession.createDataFrame(numbers))
    joined = ranked.join(frame, on="query_row", how="inner")
    return joined.withColumn("query_row", F.col("_all")).drop("_all")
