"""The join at the heart of search: a matrix of queries against a frame of vectors, by broadcast cosine top-k.

The queries are broadcast as one matrix. A task keeps the best of each query over all its Arrow batches (level one) and
hands on one row per block of queries; a reducer merges the tasks' rows of a block (level two). So a reducer sees
``tasks x queries of a block x top_k`` numbers, packed, and nothing is ever sorted that cannot enter an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, GroupedData, SparkSession
from pyspark.sql import functions as F

from imgsearch.keys import KEY_DIGITS, order_keys
from imgsearch.lake.batches import Batches
from imgsearch.lake.memory import task_memory
from imgsearch.lake.session import is_connect, n_slots
from imgsearch.lake.shared import INLINE_BYTES, Shared, share
from imgsearch.retrieval.probes import UNCLUSTERED, ProbedTopK, Probes, probes_of, ranges
from imgsearch.topk.topk import NOBODY, RunningTopK, TopK, merge
from imgsearch.vectors import Ids, Matrix, unit_rows

PARTIAL_SCHEMA = "block int, k int, scores binary, keys binary"
RANKED_SCHEMA = "query_row int, rank int, image_key bigint, score float"
NO_SCORE = -np.inf
#: Numbers (queries x top_k) in one row of a partial result.
BLOCK_CELLS = 65_536


class Queries(NamedTuple):
    """What is broadcast: ``vectors`` (n_queries, dim) float32 unit rows, ``own`` (n_queries,) int64 keys that a query
    must not find (``NOBODY`` for none), ``top_k``, the lowest score of a match, and which query probes which cluster
    (``None``: every query sees all rows)."""

    vectors: Matrix
    own: Ids
    top_k: int
    min_score: float
    probes: Probes | None

    @property
    def block(self) -> int:
        """Queries in one row of a partial result."""
        return max(1, BLOCK_CELLS // self.top_k)


def search(
    queries: Matrix,
    gallery: DataFrame,
    top_k: int,
    *,
    own: Ids | None = None,
    min_score: float = NO_SCORE,
    nearest: Ids | None = None,
) -> DataFrame:
    """The ``top_k`` most similar gallery vectors of every query, by cosine.

    ``queries``: (n_queries, dim) float32 unit rows. ``gallery``: ``image_id`` (sha-256 hex, or an int64
    key from 0) and ``vector`` (packed rows of unit length, or lists of numbers, which are scaled to it).
    ``own``: (n_queries,) int64, the ``image_key`` that each query must not find, ``NOBODY`` for none.
    ``nearest``: (n_queries, nprobe), the clusters that each query probes; the gallery then has ``cluster_id`` too, and
    every query sees the rows without one. Files without a probed cluster are not read.

    Returns ``query_row``, ``rank`` (from 1), ``image_key`` (see ``keys``), ``score``; score descending, then id
    ascending, however the gallery is partitioned. More queries than a worker has room for go in several passes.
    """

    def one_pass(part: slice, batch: Queries) -> DataFrame:
        if nearest is None:
            return _one_pass(batch, gallery)
        probed = nearest[part]
        return _one_pass(batch._replace(probes=probes_of(probed)), probed_rows(gallery, probed))

    per_pass = queries_per_pass(gallery.sparkSession, top_k, queries.shape[1])
    return in_passes(request_of(queries, own, top_k, min_score), per_pass, one_pass)


def request_of(queries: Matrix, own: Ids | None, top_k: int, min_score: float) -> Queries:
    """``search``'s arguments as one request, of all rows."""
    excluded = np.full(len(queries), NOBODY, np.int64) if own is None else own
    return Queries(queries, excluded, top_k, min_score, None)


def in_passes(request: Queries, per_pass: int, one_pass: Callable[[slice, Queries], DataFrame]) -> DataFrame:
    """The rows of ``one_pass`` for each ``per_pass`` queries; ``query_row`` counts through all of them."""
    ranked = []
    for start in range(0, max(1, len(request.vectors)), per_pass):
        part = slice(start, start + per_pass)
        batch = request._replace(vectors=np.ascontiguousarray(request.vectors[part]), own=request.own[part])
        rows = one_pass(part, batch)
        ranked.append(rows.withColumn("query_row", F.col("query_row") + F.lit(start)) if start else rows)
    return reduce(DataFrame.unionByName, ranked)


def queries_per_pass(spark: SparkSession, top_k: int, dim: int) -> int:
    """Queries that one pass over the gallery takes: as many as fill a quarter of a worker's memory.

    A query costs a worker its vector (4 bytes a dimension), as much again packed for the product, and 36 bytes for each
    of its ``top_k``: a buffer of twice as many, and the answer. Over Spark Connect the queries travel inside the plan.
    """
    per_pass = max(64, task_memory(spark) // 4 // (8 * dim + 36 * top_k))
    return min(per_pass, max(64, INLINE_BYTES // (4 * dim))) if is_connect(spark) else per_pass


def probed_rows(gallery: DataFrame, nearest: Ids) -> DataFrame:
    """The rows of probed clusters, and those without a cluster: a filter that skips files, then rows.

    Files are skipped by a few intervals (Delta makes one of a list); more than some twenty make code so long that the
    JVM would interpret it for every row.
    """
    cluster_ids = np.unique(nearest[nearest >= 0])
    inside = " OR ".join(f"cluster_id BETWEEN {a} AND {b}" for a, b in ranges(cluster_ids))
    listed = f"cluster_id IN ({', '.join(map(str, cluster_ids.tolist()))})"
    return gallery.where(
        f"cluster_id IS NULL OR ({listed} AND ({inside}))" if len(cluster_ids) else "cluster_id IS NULL"
    )


def _one_pass(batch: Queries, gallery: DataFrame) -> DataFrame:
    spark = gallery.sparkSession
    shared = share(spark, batch)
    slots = n_slots(spark)
    columns = ["image_id", "vector"] + (["cluster_id"] if batch.probes is not None else [])
    partial = gallery.select(*columns).coalesce(slots * 2).mapInArrow(partial_topk(shared), PARTIAL_SCHEMA)
    return by_blocks(partial, batch).applyInArrow(merge_blocks(batch.block), RANKED_SCHEMA)


def by_blocks(partial: DataFrame, batch: Queries) -> GroupedData:
    """All tasks' rows of each block of queries together, for level two."""
    n_blocks = max(1, -(-len(batch.vectors) // batch.block))
    return partial.repartition(min(n_blocks, n_slots(partial.sparkSession)), "block").groupBy("block")


def partial_topk(queries: Shared[Queries]) -> Callable[[Batches], Batches]:
    """Level one: all (image_id, vector[, cluster_id]) batches of a task → its best of each query, packed by blocks."""

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        request = queries.value
        dim = request.vectors.shape[1]
        excluded = request.own if (request.own != NOBODY).any() else None
        if request.probes is not None:
            probing = ProbedTopK(request.vectors, request.top_k, request.probes)
            for batch in batches:
                if len(batch):
                    clusters = batch.column(2).fill_null(UNCLUSTERED).to_numpy().astype(np.int64)
                    rows, keys = unit_rows(batch.column(1), dim), keys_of(batch.column(0))
                    probing.update(rows, keys, clusters, excluded, request.min_score)
            yield from packed_blocks(probing.result(), request.block)
            return
        running: RunningTopK | None = None
        for batch in batches:
            if len(batch):
                running = running or RunningTopK(request.vectors, request.top_k)
                rows, keys = unit_rows(batch.column(1), dim), keys_of(batch.column(0))
                running.update(rows, keys, excluded, request.min_score)
        if running is not None:
            yield from packed_blocks(running.result(), request.block)

    return find


def merge_blocks(block_size: int) -> Callable[[pa.Table], pa.Table]:
    """Level two: the rows of one block of queries, from all tasks → its final ranks."""

    def merge_block(table: pa.Table) -> pa.Table:
        top_k, parts = unpacked_block(table)
        best = merge(parts, top_k)
        return ranked_rows(table.column("block")[0].as_py() * block_size, image_key=best.ids, score=best.scores)

    return merge_block


def ranked_rows(first: int, *, image_key: Ids, **others: NDArray[Any]) -> pa.Table:
    """Answers (n_queries, top_k), best first, as rows with ``query_row``, from ``first``, and ``rank``, from 1; slots
    without an image are left out."""
    n_queries, top_k = image_key.shape
    columns = {
        "query_row": np.repeat(np.arange(first, first + n_queries, dtype=np.int32), top_k),
        "rank": np.tile(np.arange(1, top_k + 1, dtype=np.int32), n_queries),
        "image_key": image_key.reshape(-1),
        **{name: values.reshape(-1) for name, values in others.items()},
    }
    is_filled = image_key.reshape(-1) != NOBODY
    return pa.table({name: pa.array(values[is_filled]) for name, values in columns.items()})


def keys_of(image_ids: pa.Array) -> Ids:
    """(n,) int64 that sort as the ids: those of sha-256 hex, or the ids themselves where they are int64 already."""
    return image_ids.to_numpy() if pa.types.is_int64(image_ids.type) else order_keys(image_ids)


def image_key(column: str) -> Column:
    """``keys.order_keys`` in SQL."""
    most = F.conv(F.substring(column, 1, KEY_DIGITS - 1), 16, 10).cast("bigint")
    last = F.conv(F.substring(column, KEY_DIGITS, 1), 16, 10).cast("int")
    return F.shiftleft(most, 3) + F.shiftright(last, 1)


def sole_id() -> Column:
    """The ``image_id`` of rows with one ``image_key``; the query fails where there are two, and names them."""
    first, last = F.min("image_id"), F.max("image_id")
    collision = F.concat(
        F.lit("images "), first.cast("string"), F.lit(" and "), last.cast("string"),
        F.lit(" have one 63-bit key and cannot be told apart in one search; take one of them out of the gallery"),
    )  # fmt: skip
    return F.when(first == last, first).otherwise(F.raise_error(collision))


def packed_blocks(best: TopK, block: int) -> Iterator[pa.RecordBatch]:
    """The rows of ``PARTIAL_SCHEMA`` of a task's answer, one for each ``block`` queries."""
    for number, start in enumerate(range(0, len(best.ids), block)):
        scores = best.scores[start : start + block].astype("<f4").tobytes()
        keys = best.ids[start : start + block].astype("<i8").tobytes()
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([number], pa.int32()), pa.array([best.ids.shape[1]], pa.int32()),
                pa.array([scores], pa.binary()), pa.array([keys], pa.binary()),
            ],
            names=["block", "k", "scores", "keys"],
        )  # fmt: skip


def unpacked_block(table: pa.Table) -> tuple[int, list[TopK]]:
    """``top_k``, and the answer that each row of ``PARTIAL_SCHEMA`` holds; all are of one block of queries."""
    top_k = table.column("k")[0].as_py()
    parts = [
        TopK(
            np.frombuffer(keys.as_py(), "<i8").reshape(-1, top_k),
            np.frombuffer(scores.as_py(), "<f4").reshape(-1, top_k),
        )
        for keys, scores in zip(table.column("keys"), table.column("scores"), strict=True)
    ]
    return top_k, parts
