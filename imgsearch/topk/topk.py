"""Exact top-k by dot product, over a gallery that comes in batches.

The answer is a function of the rows and their ids alone: one total order (score descending, then id ascending) before
every cut, and a score that no blocking can change (``score``). So batches, partitions, order of arrival, thresholds to
start from and the CPU decide how long a search takes, never what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.topk.engine import EngineName, Packed, choose
from imgsearch.topk.prefix import choose_prefix_dim
from imgsearch.topk.ranking import Batch, Best, empty_best, select_all
from imgsearch.topk.scan import scan
from imgsearch.vectors import Matrix

#: The id of an empty slot, and of a row that a query may find.
NOBODY = -1
_STRETCH = 16_384  # rows between two choices of ``prefix_dim``
_FEW = 1_024  # rows after which thresholds are worth choosing by


class TopK(NamedTuple):
    """Best first; a slot without a row has id ``NOBODY`` and score -inf.

    ``ids``: (n_queries, k) int64; ``scores``: (n_queries, k) float32.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class RunningTopK:
    """The k best gallery rows of every query so far.

    Memory: 18 bytes a query and k, at most 4 (``dim`` + 1) bytes a query, and 2 MiB; nothing grows with the
    gallery.
    """

    def __init__(self, queries: Matrix, top_k: int, engine: EngineName = "auto", best: Best | None = None) -> None:
        """``queries``: (n_queries, dim) float32, unit rows as a rule (any rows shorter than 1e15 are searched rightly).
        ``best``: an earlier state of these queries to go on from; it is written to.

        Raises ``ValueError`` when ``top_k`` is less than 1, a row is not finite, or the CPU lacks the engine asked for.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}: must be at least 1")
        if queries.ndim != 2:
            raise ValueError(f"queries of shape {queries.shape}: must be (n_queries, dim)")
        self._engine = choose(engine)
        self._queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not np.isfinite(self._queries).all():
            raise ValueError("a query row is not finite")
        self._best = empty_best(len(self._queries), top_k) if best is None else best
        self._nobody = np.full(len(self._queries), NOBODY, np.int64)
        self._packed: Packed | None = None
        self._seen = 0
        self.n_scored = 0
        """Pairs that had to be scored one by one so far, of ``len(queries)`` x rows seen."""

    def update(
        self,
        gallery: Matrix,
        ids: NDArray[np.int64],
        exclude: NDArray[np.int64] | None = None,
        min_score: float | NDArray[np.float32] = -np.inf,
    ) -> None:
        """Look at more gallery rows. Every id comes once over the whole life of this object.

        ``gallery``: (n, dim) float32; ``ids``: (n,) int64, not negative. ``exclude``: (n_queries,) int64, an id that
        each query must not find (its own), -1 for none. ``min_score``: what a row must reach, for all queries or
        (n_queries,) float32 each; a lower bound of every query's k-th score, known from elsewhere, makes a good start.

        Raises ``ValueError`` when shapes disagree or a row is not finite.
        """
        queries = self._queries
        gallery, ids = np.ascontiguousarray(gallery, dtype=np.float32), np.ascontiguousarray(ids, dtype=np.int64)
        if gallery.ndim != 2 or gallery.shape[1] != queries.shape[1] or ids.shape != (len(gallery),):
            raise ValueError(f"gallery {gallery.shape} with ids {ids.shape} against queries {queries.shape}")
        own = self._nobody if exclude is None else np.ascontiguousarray(exclude, dtype=np.int64)
        if own.shape != (len(queries),):
            raise ValueError(f"exclude of shape {own.shape} for {len(queries)} queries")
        if not len(queries) or not len(gallery):
            return
        np.maximum(self._best.thresholds, np.asarray(min_score, np.float32), out=self._best.thresholds)
        start = 0
        while start < len(gallery):
            stop = min(start + (_STRETCH if self._seen >= _FEW else _FEW), len(gallery))
            scored = self._scan(Batch(gallery, ids, own), start, stop)
            if scored < 0:
                raise ValueError(f"one of the gallery rows {ids[start]} to {ids[stop - 1]} is not finite, or too long")
            self.n_scored += scored
            self._seen += stop - start
            start = stop

    def thresholds(self) -> NDArray[np.float32]:
        """(n_queries,) float32: lower bounds of the k-th scores, -inf where fewer than k rows were found yet."""
        return self._best.thresholds.copy()

    def result(self) -> TopK:
        """What stands now; ``update`` may go on afterwards."""
        return in_order(self._best)

    def _scan(self, batch: Batch, start: int, stop: int) -> int:
        queries, packed = self._queries, self._packed
        prefix_dim = queries.shape[1]
        if self._seen >= _FEW:
            prefix_dim = choose_prefix_dim(
                queries, batch.gallery[start:stop], self._best.thresholds, self._engine.costs
            )
        if packed is None or packed.prefix_dim != prefix_dim:
            packed = self._packed = self._engine.pack(queries, prefix_dim)
        return int(scan(queries, packed, batch, start, stop, self._best))


def in_order(best: Best) -> TopK:
    """The answer that a state holds. The state is cut to its ``top_k``."""
    select_all(best)
    top_k, scores, ids, filled, _ = best
    is_filled = np.arange(top_k) < filled[:, None]
    return _ordered(
        np.where(is_filled, ids[:, :top_k], -1), np.where(is_filled, scores[:, :top_k], np.float32(-np.inf))
    )


def merge(parts: Sequence[TopK], top_k: int) -> TopK:
    """The best ``top_k`` of several answers to the same queries (over disjoint parts of a gallery).

    Raises ``ValueError`` when there are no parts or they differ in the number of queries.
    """
    if not parts or len({len(part.ids) for part in parts}) != 1:
        raise ValueError(f"{len(parts)} parts with {[len(part.ids) for part in parts]} queries do not merge")
    ids = np.concatenate([part.ids for part in parts], axis=1)
    scores = np.concatenate([part.scores for part in parts], axis=1)
    best = _ordered(ids, scores)
    missing = max(0, top_k - ids.shape[1])
    return TopK(
        np.pad(best.ids[:, :top_k], ((0, 0), (0, missing)), constant_values=-1),
        np.pad(best.scores[:, :top_k], ((0, 0), (0, missing)), constant_values=-np.inf),
    )


def top_k(queries: Matrix, gallery: Matrix, k: int, engine: EngineName = "auto") -> TopK:
    """The ``k`` rows of ``gallery`` with the greatest dot product, for every query; ids are row numbers.

    ``queries``: (n_queries, dim), ``gallery``: (n, dim), both float32. Raises as ``RunningTopK`` does.
    """
    running = RunningTopK(queries, k, engine)
    running.update(gallery, np.arange(len(gallery)))
    return running.result()


def _ordered(ids: NDArray[np.int64], scores: NDArray[np.float32]) -> TopK:
    """Every row in the one order; slots without a row go last."""
    last = np.where(ids < 0, np.iinfo(np.int64).max, ids)
    order = np.lexsort((last, -scores), axis=1)
    return TopK(np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1))
