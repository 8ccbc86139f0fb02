"""Lists of nearest neighbours as frames: images ask all others, or are offered new ones.

A block of images is broadcast. They ask the gallery by the join of ``search`` (``asked``); and the gallery's rows look
at them where they lie (``offered``), which is what new images cost the old ones: no row of theirs passes the driver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.keys import order_keys
from imgsearch.lake.batches import Batches
from imgsearch.lake.shared import Shared, share
from imgsearch.retrieval.graph import DEGREE, Lists, merged
from imgsearch.retrieval.join import search
from imgsearch.topk.topk import NOBODY, RunningTopK, TopK
from imgsearch.vectors import Ids, Matrix, pack_bytes, unpack, unpack_bytes

#: Neighbours in a list.
LISTED = 20
LIST_SCHEMA = "image_id string, image_key bigint, neighbours binary, scores binary"
PAIR_SCHEMA = "image_id string, neighbour bigint"


class Block(NamedTuple):
    """Some images on the driver: ``ids`` (n,) strings, ``keys`` (n,) int64, ``vectors`` (n, dim) float32 unit rows."""

    ids: pa.Array
    keys: Ids
    vectors: Matrix

    @classmethod
    def of(cls, frame: DataFrame, dim: int) -> Block:
        """``image_id`` and ``vector``, read in order of id."""
        table = frame.select("image_id", "vector").orderBy("image_id").toArrow().combine_chunks()
        ids = table.column("image_id").combine_chunks()
        return cls(ids, order_keys(ids), unpack(table.column("vector"), dim))


def asked(block: Block, gallery: DataFrame) -> DataFrame:
    """``LIST_SCHEMA``: the nearest others of each image of a block, in ``gallery`` (``image_id``, ``vector``)."""
    ranked = search(block.vectors, gallery.select("image_id", "vector"), LISTED, own=block.keys)
    shared = share(gallery.sparkSession, (block.ids, block.keys))
    return ranked.select("query_row", "image_key", "score").mapInArrow(pack_ranked(shared), LIST_SCHEMA)


def offered(block: Block, vectors: DataFrame) -> DataFrame:
    """``LIST_SCHEMA``: for each row of ``vectors`` (``image_id``, ``vector``) its nearest others in the block."""
    shared = share(vectors.sparkSession, block)
    return vectors.select("image_id", "vector").mapInArrow(look_at_block(shared), LIST_SCHEMA)


def with_candidates(lists: DataFrame, candidates: DataFrame) -> DataFrame:
    """``LIST_SCHEMA``: the best of the lists and of the candidates, for images that have both."""
    others = candidates.select("image_id", F.col("neighbours").alias("_keys"), F.col("scores").alias("_scores"))
    joined = lists.select("image_id", "image_key", "neighbours", "scores").join(others, on="image_id", how="inner")
    return joined.mapInArrow(merge_batches, LIST_SCHEMA)


def first_neighbours(lists: DataFrame, n: int) -> DataFrame:
    """``image_key``, ``neighbours`` and ``scores`` of rows of the table, cut to the first ``n`` of each list."""
    cuts = [F.substring(name, 1, n * width).alias(name) for name, width in (("neighbours", 8), ("scores", 4))]
    return lists.select("image_key", *cuts)


def read_lists(lists: DataFrame, keys: Ids | None = None) -> Lists:
    """Lists (``first_neighbours``) of ``DEGREE`` neighbours, of the images ``keys`` (default: all), on the driver."""
    if keys is not None:
        wanted = lists.sparkSession.createDataFrame(pa.table({"image_key": keys}))
        lists = lists.join(F.broadcast(wanted), on="image_key", how="left_semi")
    table = lists.toArrow()
    if not table.num_rows:
        return Lists.empty(DEGREE)
    own = table.column("image_key").to_numpy()
    order = np.argsort(own)
    ranked = _unpacked(table.column("neighbours"), table.column("scores"))
    return Lists(own[order], ranked.ids[order], ranked.scores[order])


def pack_ranked(names: Shared[tuple[pa.Array, Ids]]) -> Callable[[Batches], Batches]:
    """(query_row, image_key, score) batches, best first and each query's rows together → ``LIST_SCHEMA``.

    ``names``: ids and keys by query row. A query whose rows end a batch waits for the next one.
    """

    def pack(batches: Batches) -> Batches:
        held = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        for batch in batches:
            columns = (batch.column(i).to_numpy() for i in range(3))
            queries, keys, scores = (np.concatenate([a, b]) for a, b in zip(held, columns, strict=True))
            stop = int(np.flatnonzero(np.diff(queries))[-1]) + 1 if len(queries) and queries[0] != queries[-1] else 0
            held = queries[stop:], keys[stop:], scores[stop:]
            if stop:
                yield _packed_lists(names.value, queries[:stop], keys[:stop], scores[:stop])
        if len(held[0]):
            yield _packed_lists(names.value, *held)

    return pack


def look_at_block(block: Shared[Block]) -> Callable[[Batches], Batches]:
    """(image_id, vector) batches → ``LIST_SCHEMA``: of each row the nearest others of ``block``."""

    def look(batches: Batches) -> Batches:
        _, keys, vectors = block.value
        for batch in batches:
            if len(batch):
                own = order_keys(batch.column(0))
                running = RunningTopK(unpack(batch.column(1), vectors.shape[1]), LISTED)
                running.update(vectors, keys, exclude=own)
                yield _row_batch(batch.column(0), own, running.result())

    return look


def merge_batches(batches: Batches) -> Batches:
    """(image_id, image_key, neighbours, scores, candidates' neighbours, their scores) → ``LIST_SCHEMA``."""
    for batch in batches:
        if len(batch):
            lists, candidates = (_unpacked(batch.column(i), batch.column(i + 1)) for i in (2, 4))
            yield _row_batch(batch.column(0), batch.column(1).to_numpy(), merged(lists, candidates, LISTED))


def pair_batches(batches: Batches) -> Batches:
    """(image_id, neighbours) batches → ``PAIR_SCHEMA``, a row a neighbour."""
    for batch in batches:
        if len(batch):
            keys = unpack_bytes(batch.column(1)).view("<i8")
            at, _ = np.nonzero(keys != NOBODY)
            columns = [batch.column(0).take(pa.array(at)), pa.array(keys[keys != NOBODY])]
            yield pa.RecordBatch.from_arrays(columns, names=["image_id", "neighbour"])


def _packed_lists(names: tuple[pa.Array, Ids], queries: Ids, keys: Ids, scores: Matrix) -> pa.RecordBatch:
    rows, starts, counts = np.unique(queries, return_index=True, return_counts=True)
    places = np.arange(len(queries)) - np.repeat(starts, counts)
    at = np.repeat(np.arange(len(rows)), counts)
    ranked = TopK(np.full((len(rows), LISTED), NOBODY), np.full((len(rows), LISTED), -np.inf, np.float32))
    ranked.ids[at, places], ranked.scores[at, places] = keys, scores
    ids, own = names
    return _row_batch(ids.take(pa.array(rows)), own[rows], ranked)


def _row_batch(ids: pa.Array, keys: Ids, ranked: TopK) -> pa.RecordBatch:
    columns = [
        ids, pa.array(keys), pack_bytes(np.ascontiguousarray(ranked.ids, "<i8").view(np.uint8)),
        pack_bytes(np.ascontiguousarray(ranked.scores, "<f4").view(np.uint8)),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, names=["image_id", "image_key", "neighbours", "scores"])


def _unpacked(neighbours: pa.Array | pa.ChunkedArray, scores: pa.Array | pa.ChunkedArray) -> TopK:
    return TopK(unpack_bytes(neighbours).view("<i8"), unpack_bytes(scores).view("<f4"))
