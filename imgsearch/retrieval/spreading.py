"""Diffusion over the table ``neighbours``: the lists of a query's neighbourhood are read as they are needed."""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.store import TableStore
from imgsearch.retrieval.diffusion import FIRST, SEEDS, Seeds, ranking, spread, unlisted
from imgsearch.retrieval.graph import DEGREE, Lists, reciprocal
from imgsearch.retrieval.neighbour_lists import first_neighbours, read_lists
from imgsearch.tables import NEIGHBOURS
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Ids

#: Queries whose neighbourhoods the driver holds at once: 72 MB of lists at most, with those that are looked at more.
QUERIES = 2_000
#: A table of at most so many lists is read once, into 128 MB of the driver; of a larger one each step reads its own.
WHOLE = 1_000_000


def lists_for_search(warehouse: TableStore, projection_id: str) -> DataFrame:
    """The lists of a projection. Raises ``UserError`` where there are none."""
    lists = warehouse.read_or_empty(NEIGHBOURS).where(F.col("projection_id") == projection_id)
    if lists.isEmpty():
        raise UserError(
            f"--spread: {warehouse.location} has no lists of neighbours for this projection; "
            f"run `{LAUNCHER} neighbours --warehouse {warehouse.location}` first"
        )
    return lists


def spread_ahead(matches: DataFrame, n_queries: int, own: Ids | None, lists: DataFrame) -> Ids:
    """(n_queries, c) int64 keys: the first ``FIRST`` of ``join.search``'s ``matches``, then what diffusion reached.

    ``lists``: ``image_key``, ``neighbours``, ``scores``. An image without a list is no part of the graph. ``own``:
    (n_queries,) the key that each query must not find.
    """
    seeds = best_of(matches, n_queries, max(FIRST, SEEDS))
    first = seeds.keys[:, :FIRST]
    nobody = np.full(n_queries, NOBODY)
    seeds = Seeds(seeds.keys[:, :SEEDS], seeds.scores[:, :SEEDS], nobody if own is None else own)
    parts = [seeds.some(slice(start, start + QUERIES)) for start in range(0, max(1, n_queries), QUERIES)]
    short = first_neighbours(lists, DEGREE)
    if lists.count() <= WHOLE:
        graph = reciprocal(read_lists(short).covering(seeds.keys))
        return ranking(first, np.concatenate([spread(graph, part) for part in parts]))
    short = short.persist()
    try:
        return ranking(first, np.concatenate([_spread_some(part, short) for part in parts]))
    finally:
        short.unpersist()


def best_of(matches: DataFrame, n_queries: int, n: int) -> Seeds:
    """The ``n`` first matches of each query, on the driver, as seeds of queries that may find themselves."""
    columns = ("query_row", "rank", "image_key", "score")
    table = matches.where(F.col("rank") <= n).select(*columns).toArrow()
    rows, ranks, keys, scores = (table.column(name).to_numpy() for name in columns)
    best = Seeds(np.full((n_queries, n), NOBODY), np.zeros((n_queries, n), np.float32), np.full(n_queries, NOBODY))
    best.keys[rows, ranks - 1], best.scores[rows, ranks - 1] = keys, scores
    return best


def _spread_some(seeds: Seeds, lists: DataFrame) -> Ids:
    there = Lists.empty(DEGREE)
    graph = reciprocal(there)
    while len(keys := unlisted(graph, seeds)):
        there = there.joined(read_lists(lists, keys).some(keys))
        graph = reciprocal(there)
    return spread(graph, seeds)
