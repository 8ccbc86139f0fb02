"""All pairs of near vectors, cluster by cluster: a join in which each vector is sent to the clusters it has to look at.

A vector is a *resident* of its own cluster, and a *visitor* of every other one that may hold a vector within the
threshold (``leaders.near_clusters``). A task takes one block of residents at a time and streams the visitors past it,
so its memory is a block and a batch, whatever the size of a cluster. What travels are sketches, a quarter of a vector's
bytes; pairs that these cannot rule out are scored with the vectors themselves. The driver sees the sizes of the
clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.duplicates.leaders import near_clusters
from imgsearch.duplicates.pairs import Pairs, pairs_between
from imgsearch.duplicates.sketch import sketched, slack, unsketched
from imgsearch.keys import order_keys
from imgsearch.lake.batches import Batches
from imgsearch.lake.session import n_slots
from imgsearch.topk.score import paired_scores
from imgsearch.vectors import Ids, Matrix, pack_bytes, unpack, unpack_bytes

#: Computes a frame once and gives the same rows, to be read from where they were put.
Stage = Callable[[DataFrame, str], DataFrame]

HOME_SCHEMA = "image_key bigint, cluster_id int, vector binary"
ROUTE_SCHEMA = "cluster_id int, block int, is_visitor boolean, image_key bigint, error float, sketch binary"
CANDIDATE_SCHEMA = "left_key bigint, right_key bigint"
PAIR_SCHEMA = "left_key bigint, right_key bigint, score float"
#: Residents that a task holds at once: 20 MB at 256-d, widened.
BLOCK = 20_000
#: Rows of one Arrow batch of routed vectors.
BATCH = 4_096
#: Rows of one partition: what it sorts.
PARTITION = 100_000


class Routing(NamedTuple):
    """What is broadcast: the ``codebook``, the ``threshold``, and ``n_blocks`` (n_clusters,) of residents, by row of
    the codebook. ``upward``: of two vectors in two clusters (or blocks) the one in the lower visits the other."""

    codebook: Codebook
    threshold: float
    n_blocks: Ids
    upward: bool


def homes(vectors: DataFrame, codebook: Codebook) -> DataFrame:
    """``image_id``, ``cluster_id``, ``vector`` → ``HOME_SCHEMA``: a vector without a cluster is given its nearest."""
    shared = vectors.sparkSession.sparkContext.broadcast(codebook)
    return vectors.select("image_id", "cluster_id", "vector").mapInArrow(home_batches(shared), HOME_SCHEMA)


def home_batches(codebook: Broadcast[Codebook]) -> Callable[[Batches], Batches]:
    """(image_id, cluster_id, vector) batches → ``HOME_SCHEMA`` batches."""

    def place(batches: Batches) -> Batches:
        for batch in batches:
            if not len(batch):
                continue
            clusters = batch.column(1).fill_null(-1).to_numpy().astype(np.int32)
            none = np.flatnonzero(clusters < 0)
            if len(none):
                scores = unpack(batch.column(2))[none] @ codebook.value.centroids.T
                clusters[none] = codebook.value.cluster_ids[scores.argmax(axis=1)]
            columns = [pa.array(order_keys(batch.column(0))), pa.array(clusters), batch.column(2)]
            yield pa.RecordBatch.from_arrays(columns, names=["image_key", "cluster_id", "vector"])

    return place


def near_pairs(
    residents: DataFrame, codebook: Codebook, threshold: float, stage: Stage, block: int = BLOCK
) -> DataFrame:
    """``PAIR_SCHEMA``: every pair among ``residents`` (``HOME_SCHEMA``) that scores ``threshold`` or more, once."""
    routing = _routing(residents, codebook, threshold, block, upward=True)
    routed = residents.mapInArrow(route_batches(routing, is_resident=True), ROUTE_SCHEMA)
    return scored(stage(_meet(routing, routed), "candidates"), residents, residents, threshold)


def near_across(
    visitors: DataFrame, residents: DataFrame, codebook: Codebook, threshold: float, stage: Stage, block: int = BLOCK
) -> DataFrame:
    """``PAIR_SCHEMA``: every pair of one of ``visitors`` (left) and one of ``residents`` (right), both ``HOME_SCHEMA``.

    A resident's cluster is the nearest of ``codebook``; a key that is on both sides is no pair.
    """
    routing = _routing(residents, codebook, threshold, block, upward=False)
    visiting = visitors.mapInArrow(route_batches(routing, is_resident=False), ROUTE_SCHEMA)
    staying = residents.mapInArrow(stay_batches(routing), ROUTE_SCHEMA)
    candidates = stage(_meet(routing, staying.unionByName(visiting)), "candidates")
    return scored(candidates, visitors, residents, threshold)


def scored(candidates: DataFrame, left: DataFrame, right: DataFrame, threshold: float) -> DataFrame:
    """Candidates with the exact score of their vectors, those that reach the threshold."""
    one = left.select(F.col("image_key").alias("left_key"), F.col("vector").alias("one"))
    other = right.select(F.col("image_key").alias("right_key"), F.col("vector").alias("other"))
    pairs = candidates.join(one, on="left_key", how="inner").join(other, on="right_key", how="inner")
    return pairs.select("left_key", "right_key", "one", "other").mapInArrow(score_batches(threshold), PAIR_SCHEMA)


def score_batches(threshold: float) -> Callable[[Batches], Batches]:
    """(left_key, right_key, vector, vector) batches → ``PAIR_SCHEMA`` batches."""

    def score(batches: Batches) -> Batches:
        for batch in batches:
            if len(batch):
                scores = paired_scores(unpack(batch.column(2)), unpack(batch.column(3)))
                columns = [batch.column(0), batch.column(1), pa.array(scores)]
                rows = pa.RecordBatch.from_arrays(columns, names=["left_key", "right_key", "score"])
                yield rows.filter(pa.array(scores >= threshold))

    return score


def _routing(
    residents: DataFrame, codebook: Codebook, threshold: float, block: int, upward: bool
) -> Broadcast[Routing]:
    sizes = residents.groupBy("cluster_id").count().toArrow()
    n_blocks = np.zeros(len(codebook.cluster_ids), np.int64)
    places = np.searchsorted(codebook.cluster_ids, sizes.column("cluster_id").to_numpy())
    n_blocks[places] = -(-sizes.column("count").to_numpy() // block)
    return residents.sparkSession.sparkContext.broadcast(Routing(codebook, threshold, n_blocks, upward))


def route_batches(routing: Broadcast[Routing], is_resident: bool) -> Callable[[Batches], Batches]:
    """``HOME_SCHEMA`` batches → ``ROUTE_SCHEMA`` batches: each vector once for every block that it looks at, and (with
    ``is_resident``) once for the block that it is in."""

    def route(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, len(batch), BATCH):
                rows = _Rows.of(batch.slice(start, BATCH))
                sources, clusters, blocks = targets_of(rows.keys, rows.home, rows.vectors, routing.value)
                if is_resident:
                    yield rows.staying(routing.value)
                for first in range(0, len(sources), BATCH):
                    some = slice(first, first + BATCH)
                    yield rows.routed(sources[some], clusters[some], blocks[some], is_visitor=True)

    return route


def stay_batches(routing: Broadcast[Routing]) -> Callable[[Batches], Batches]:
    """``HOME_SCHEMA`` batches → ``ROUTE_SCHEMA`` batches: each vector once, in its own block."""

    def stay(batches: Batches) -> Batches:
        for batch in batches:
            if len(batch):
                yield _Rows.of(batch).staying(routing.value)

    return stay


class _Rows(NamedTuple):
    """A batch of ``HOME_SCHEMA``, with sketches (n, dim + 4) and their errors (n,)."""

    keys: Ids
    home: Ids
    vectors: Matrix
    sketches: NDArray[np.uint8]
    errors: NDArray[np.float32]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Rows:
        vectors = unpack(batch.column(2))
        return cls(batch.column(0).to_numpy(), batch.column(1).to_numpy(), vectors, *sketched(vectors))

    def staying(self, routing: Routing) -> pa.RecordBatch:
        """Every row, in the block that it is in."""
        own = home_blocks(self.keys, self.home, routing)
        return self.routed(np.arange(len(self.keys)), self.home, own, is_visitor=False)

    def routed(self, rows: Ids, clusters: Ids, blocks: Ids, is_visitor: bool) -> pa.RecordBatch:
        """``rows`` on their way to ``blocks`` of ``clusters``: ``ROUTE_SCHEMA``."""
        columns = [
            pa.array(clusters.astype(np.int32)), pa.array(blocks.astype(np.int32)), pa.repeat(is_visitor, len(rows)),
            pa.array(self.keys[rows]), pa.array(self.errors[rows]), pack_bytes(self.sketches[rows]),
        ]  # fmt: skip
        return pa.RecordBatch.from_arrays(
            columns, names=["cluster_id", "block", "is_visitor", "image_key", "error", "sketch"]
        )


def home_blocks(keys: Ids, home: Ids, routing: Routing) -> Ids:
    """(n,) the block of its cluster that each resident is in."""
    blocks = routing.n_blocks[np.searchsorted(routing.codebook.cluster_ids, home)]
    return keys % np.maximum(blocks, 1)


def targets_of(keys: Ids, home: Ids, vectors: Matrix, routing: Routing) -> tuple[Ids, Ids, Ids]:
    """(row of ``vectors``, cluster, block) of every visit: (n_visits,) each."""
    codebook = routing.codebook
    visit = near_clusters(vectors, codebook.centroids, routing.threshold) & (routing.n_blocks > 0)
    places = np.searchsorted(codebook.cluster_ids, home)
    if routing.upward:
        visit &= codebook.cluster_ids > home[:, None]
    rows, at = np.nonzero(visit)
    counts = routing.n_blocks[at]
    if routing.upward:  # and the lower blocks of its own cluster
        rows, at = np.append(rows, np.arange(len(keys))), np.append(at, places)
        counts = np.append(counts, home_blocks(keys, home, routing))
    which = np.repeat(np.arange(len(rows)), counts)
    blocks = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows[which], codebook.cluster_ids[at[which]], blocks


def _meet(routing: Broadcast[Routing], routed: DataFrame) -> DataFrame:
    total = int(routing.value.n_blocks.sum()) * BLOCK
    n_partitions = max(n_slots(routed.sparkSession) * 4, total // PARTITION)
    order = ["cluster_id", "block", "is_visitor"]
    together = routed.repartition(n_partitions, "cluster_id", "block").sortWithinPartitions(*order)
    return together.mapInArrow(meet_batches(routing.value.threshold, routing.value.upward), CANDIDATE_SCHEMA)


def meet_batches(threshold: float, upward: bool) -> Callable[[Batches], Batches]:
    """``ROUTE_SCHEMA`` batches by cluster and block, residents first → ``CANDIDATE_SCHEMA`` batches."""

    def meet(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        block = _Block(threshold, upward)
        for batch in batches:
            place = np.stack([batch.column(i).to_numpy(zero_copy_only=False).astype(np.int64) for i in range(3)], 1)
            keys, errors = batch.column(3).to_numpy(), batch.column(4).to_numpy()
            vectors = unsketched(unpack_bytes(batch.column(5))) if len(batch) else np.empty((0, 0), np.float32)
            edges = np.flatnonzero((np.diff(place, axis=0) != 0).any(axis=1)) + 1
            for start, stop in zip(np.append(0, edges), np.append(edges, len(keys)), strict=True):
                if start < stop:
                    rows = _Part(keys[start:stop], vectors[start:stop], float(errors[start:stop].max()))
                    yield from block.take((int(place[start, 0]), int(place[start, 1])), bool(place[start, 2]), rows)
        yield from block.close()

    return meet


class _Part(NamedTuple):
    """Rows of one block: (n,) keys, (n, dim) near the vectors, and the greatest error."""

    keys: Ids
    vectors: Matrix
    error: float


class _Block:
    """The residents of one block, and the pairs that they make."""

    def __init__(self, threshold: float, upward: bool) -> None:
        self._threshold, self._upward = threshold, upward
        self._place: tuple[int, int] | None = None
        self._waiting: list[_Part] = []
        self._residents: _Part | None = None

    def take(self, place: tuple[int, int], is_visitor: bool, rows: _Part) -> Batches:
        """More rows for the block at ``place``: residents, then visitors."""
        if place != self._place:
            yield from self.close()
            self._place, self._residents = place, None
        if not is_visitor:
            self._waiting.append(rows)
            return
        yield from self.close()
        if self._residents is not None:
            pairs = self._pairs(rows, self._residents)
            yield from _batch(pairs if self._upward else _without_copies(pairs))

    def close(self) -> Batches:
        """All residents of the block are here: they become one matrix, and meet each other."""
        if self._waiting:
            keys, vectors, errors = zip(*self._waiting, strict=True)
            self._waiting = []
            self._residents = _Part(np.concatenate(keys), np.concatenate(vectors), max(errors))
            if self._upward:
                yield from _batch(self._pairs(self._residents, self._residents, upper=True))

    def _pairs(self, left: _Part, right: _Part, *, upper: bool = False) -> Pairs:
        lowest = self._threshold - slack(left.error, right.error)
        return pairs_between(left.vectors, left.keys, right.vectors, right.keys, lowest, upper=upper)


def _without_copies(pairs: Pairs) -> Pairs:
    return Pairs(*(column[pairs.left != pairs.right] for column in pairs))


def _batch(pairs: Pairs) -> Batches:
    if len(pairs.left):
        columns = [pa.array(pairs.left), pa.array(pairs.right)]
        yield pa.RecordBatch.from_arrays(columns, names=["left_key", "right_key"])
