"""Spherical k-means in mergeable pieces: one pass a round over all vectors, from centroids that ``seeding`` places.

The objective is Σ (1 − cosine to the nearest centroid) with unit centroids (Dhillon & Modha, "Concept decompositions
for large sparse text data using clustering", 2001). A round is ``partial`` per batch, ``Partial.merge`` in any order,
``update`` on the driver.

**The same vectors give the same clusters however they fall into batches and partitions**: coordinates are summed as
64-bit integers (multiples of 2⁻³⁰), which is exact, and where two centroids are within rounding of each other the
choice is made again in float64 in a fixed order of additions, ties to the lower cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imgsearch.compiled import compiled
from imgsearch.vectors import Matrix, unit

GRID = float(2**30)
"""Coordinates are summed as integers of this many steps to the unit: 2³³ rows fit a 64-bit sum."""

TIE = np.float32(1e-5)
"""Two float32 scores this near are decided again in float64: some ten times the rounding of a 2048-d product."""

LEAST_GAIN = 2e-4
"""Rounds end where one lowers the cost by less than this share of it."""

_BLOCK = 256
CHUNK = 4096  # rows a thread takes at once


class Assignment(NamedTuple):
    """``cluster_ids`` (n,) int32 and ``scores`` (n,) float32, the cosine to that cluster's centroid."""

    cluster_ids: NDArray[np.int32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Partial:
    """``sums`` (n_clusters, dim) int64, in steps of 1/``GRID``, and ``counts`` (n_clusters,) int64 of some rows."""

    sums: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, n_clusters: int, dim: int) -> Partial:
        """Of no row: the neutral element of ``merge``."""
        return cls(np.zeros((n_clusters, dim), np.int64), np.zeros(n_clusters, np.int64))

    def merge(self, other: Partial) -> Partial:
        """Of the rows of both: exact, so associative and commutative."""
        return Partial(self.sums + other.sums, self.counts + other.counts)

    def to_bytes(self) -> bytes:
        """Shape, sums and counts, little-endian int64."""
        shape = np.array(self.sums.shape, "<i8")
        return shape.tobytes() + self.sums.astype("<i8").tobytes() + self.counts.astype("<i8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Partial:
        """What ``to_bytes`` wrote. Raises ``ValueError`` when the bytes are cut short."""
        values = np.frombuffer(data, "<i8")
        n_clusters, dim = (int(values[0]), int(values[1])) if len(values) > 2 else (0, 0)
        if len(values) != 2 + n_clusters * (dim + 1) or n_clusters == 0:
            raise ValueError("these bytes are not serialised k-means sums")
        sums = values[2 : 2 + n_clusters * dim].reshape(n_clusters, dim)
        return cls(sums.astype(np.int64), values[2 + n_clusters * dim :].astype(np.int64))

    def cost(self, centroids: Matrix) -> float:
        """Σ (1 − cosine to the assigned centroid) over the rows: n − Σ sums·centroids, exact but for one rounding."""
        return float(self.counts.sum() - (self.sums / GRID * centroids.astype(np.float64)).sum())


class Update(NamedTuple):
    """``centroids`` (n_clusters, dim) float32 unit rows; the largest ``shift`` (1 − cosine); the old ``cost``."""

    centroids: Matrix
    shift: float
    cost: float


class Fit(NamedTuple):
    """Final ``centroids``, the ``cost`` before each round and after the last, and whether the rounds ``converged``."""

    centroids: Matrix
    costs: list[float]
    converged: bool


@compiled
def _choose(scores, rows, centroids, tie, cluster_ids, best_scores):  # type: ignore[no-untyped-def]
    for i in range(scores.shape[0]):
        row_scores = scores[i]
        best = row_scores[0]
        for c in range(1, row_scores.shape[0]):
            best = max(best, row_scores[c])
        near = best - tie
        n_near = 0
        last = 0
        for c in range(row_scores.shape[0]):
            if row_scores[c] >= near:
                n_near += 1
                last = c
        if n_near > 1:
            exact = -2.0
            for c in range(row_scores.shape[0]):
                if row_scores[c] >= near:
                    total = 0.0
                    for j in range(rows.shape[1]):
                        total += np.float64(rows[i, j]) * np.float64(centroids[c, j])
                    if total > exact:
                        exact = total
                        last = c
        cluster_ids[i] = last
        best_scores[i] = row_scores[last]


@compiled
def _accumulate(rows, cluster_ids, grid, sums, counts):  # type: ignore[no-untyped-def]
    for i in range(rows.shape[0]):
        c = cluster_ids[i]
        counts[c] += 1
        total = sums[c]
        row = rows[i]
        for j in range(row.shape[0]):
            total[j] += np.int64(np.int32(np.rint(row[j] * grid)))


def assign(batch: Matrix, centroids: Matrix) -> Assignment:
    """Nearest centroid of each row of ``batch`` (n, dim) float32 unit rows; ties go to the lower cluster.

    Raises ``ValueError`` for rows that are zero, NaN, infinite or far from unit length.
    """
    batch = checked(batch, centroids.shape[1])
    centroids = np.ascontiguousarray(centroids, np.float32)
    cluster_ids = np.empty(len(batch), np.int32)
    scores = np.empty(len(batch), np.float32)
    for start in range(0, len(batch), _BLOCK):
        rows = batch[start : start + _BLOCK]
        stop = start + len(rows)
        _choose(rows @ centroids.T, rows, centroids, TIE, cluster_ids[start:stop], scores[start:stop])
    return Assignment(cluster_ids, scores)


def partial(batch: Matrix, centroids: Matrix) -> Partial:
    """What one batch adds to a round: ``batch`` (n, dim) float32 unit rows. Raises as ``assign`` does."""
    return partial_of([batch], centroids)


def partial_of(batches: Iterable[Matrix], centroids: Matrix) -> Partial:
    """What batches add to a round together."""
    total = Partial.empty(*centroids.shape)
    for batch in batches:
        cluster_ids = assign(batch, centroids).cluster_ids
        rows = np.ascontiguousarray(batch, np.float32)
        _accumulate(rows, cluster_ids, np.float32(GRID), total.sums, total.counts)
    return total


def update(total: Partial, centroids: Matrix) -> Update:
    """The next centroids: the normalised sums of all rows.

    An empty cluster takes half of the one with the greatest cost: both get that centroid, pushed apart along a
    direction fixed by the cluster's number, and the next round divides the rows between them. A cluster of one
    distinct vector costs nothing and is not divided.
    """
    sums = total.sums / GRID
    lengths = np.linalg.norm(sums, axis=1)
    moved = np.where((lengths > 1e-9)[:, None], sums / np.maximum(lengths, 1e-9)[:, None], centroids)
    spread = total.counts - (sums * centroids).sum(axis=1)
    for cluster in np.flatnonzero(total.counts == 0):
        donor = int(spread.argmax())
        if spread[donor] <= 1e-5 * max(total.counts[donor], 1):
            break
        push = np.random.default_rng(cluster).standard_normal((centroids.shape[1],))
        push *= 1e-3 / np.linalg.norm(push)
        moved[cluster], moved[donor] = moved[donor] + push, moved[donor] - push
        spread[cluster] = spread[donor] = spread[donor] / 2
    moved = unit(moved)
    shift = float(1 - (moved.astype(np.float64) * centroids).sum(axis=1).min())
    return Update(moved, max(shift, 0.0), total.cost(centroids))


def fit(batches: list[Matrix], centroids: Matrix, n_rounds: int = 20) -> Fit:
    """Rounds over batches in memory until they rest (``at_rest``), one thread a core."""
    costs: list[float] = []
    chunks = [batch[start : start + CHUNK] for batch in batches for start in range(0, len(batch), CHUNK)]
    n = n_threads()
    # a thread takes every n-th chunk with a product of its own: BLAS's threads are slower on blocks as small as ours
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n) as threads:
        for _ in range(n_rounds):
            shares = threads.map(lambda i: partial_of(chunks[i::n], centroids), range(n))  # noqa: B023
            total = Partial.empty(*centroids.shape)
            for share in shares:
                total = total.merge(share)
            step = update(total, centroids)
            costs.append(step.cost)
            if at_rest(step, costs, total):
                return Fit(centroids, costs, True)
            centroids = step.centroids
    return Fit(centroids, costs, False)


def at_rest(step: Update, costs: list[float], total: Partial) -> bool:
    """Whether rounds may end: no centroid turns by more than 10⁻⁶, or the last round gained under ``LEAST_GAIN``.

    ``costs``: before each round so far, ``step.cost`` last. While ``total`` shows an empty cluster that ``update``
    found a place for, the gain decides nothing.
    """
    gained_little = len(costs) > 1 and costs[-2] - costs[-1] <= LEAST_GAIN * costs[-2]
    return step.shift <= 1e-6 or (gained_little and bool((total.counts > 0).all()))


def n_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def checked(batch: Matrix, dim: int) -> Matrix:
    """The batch, C-contiguous float32. Raises ``ValueError`` where it is not (n, dim) unit rows."""
    batch = np.ascontiguousarray(batch, np.float32)
    if batch.ndim != 2 or batch.shape[1] != dim:
        raise ValueError(f"vectors of shape {batch.shape} where each should have {dim} numbers")
    squares = np.einsum("ij,ij->i", batch, batch)
    bad = ~(np.abs(squares - 1) < 1e-2)
    if bad.any():
        raise ValueError(f"{int(bad.sum())} of {len(batch)} vectors are zero, NaN or not of unit length")
    return batch
