"""From ranked regions to ranked images: the best region of each image counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.topk.topk import NOBODY, RunningTopK, TopK
from imgsearch.vectors import Ids, Matrix

#: The number of the whole image among its regions.
WHOLE = 0


class RegionTopK(NamedTuple):
    """As ``TopK``, (n_queries, k) each; ``regions``: int32, the region of the image that has the score."""

    ids: Ids
    scores: NDArray[np.float32]
    regions: NDArray[np.int32]


class RunningRegions:
    """The k best gallery rows of every query so far, for each region number by itself.

    An image has one row of a number, so that each number is a gallery of images, searched exactly; the best k images
    by their best region are among the k best of every number. A query's k-th score in one number is a lower bound of
    its k-th best image, from which the other numbers begin.
    """

    def __init__(self, queries: Matrix, top_k: int) -> None:
        """As ``RunningTopK``, whose memory it takes for each number."""
        self._queries, self._top_k = queries, top_k
        self._running: dict[int, RunningTopK] = {}

    def update(self, gallery: Matrix, ids: Ids, regions: Ids, exclude: Ids | None, min_score: float) -> None:
        """Look at more rows. ``gallery``: (n, dim) float32; ``ids``, ``regions``: (n,) int64; a pair of them comes
        once. ``exclude``: (n_queries,), an id that each query must not find. Raises as ``RunningTopK.update``."""
        for number in np.unique(regions).tolist():
            some = slice(None) if (regions == number).all() else np.flatnonzero(regions == number)
            if number not in self._running:
                self._running[number] = RunningTopK(self._queries, self._top_k)
            self._running[number].update(gallery[some], ids[some], exclude, self._bound(min_score))

    def results(self) -> list[tuple[int, TopK]]:
        """The k best rows of each region number, by number."""
        return [(number, running.result()) for number, running in sorted(self._running.items())]

    def _bound(self, min_score: float) -> NDArray[np.float32]:
        """(n_queries,) float32: what a row must reach to be among the best images."""
        bounds = [running.thresholds() for running in self._running.values()]
        return np.maximum.reduce([np.full(len(self._queries), min_score, np.float32), *bounds])


def merge_regions(parts: Sequence[tuple[int, TopK]], top_k: int) -> RegionTopK:
    """The ``top_k`` best images of several answers to the same queries, each of one region number.

    Score descending, then id ascending; of equal scores of an image the lower number counts. A slot without a row has
    id ``NOBODY``, score -inf, region 0. Raises ``ValueError`` without parts.
    """
    if not parts:
        raise ValueError("no parts to merge")
    ids = np.concatenate([part.ids for _, part in parts], axis=1)
    scores = np.concatenate([part.scores for _, part in parts], axis=1)
    regions = np.concatenate([np.full(part.ids.shape, number, np.int32) for number, part in parts], axis=1)
    last = np.where(ids == NOBODY, np.iinfo(np.int64).max, ids)
    order = np.lexsort((regions, last, -scores), axis=1)
    ids, scores, regions = (np.take_along_axis(values, order, 1) for values in (ids, scores, regions))
    ids = np.where(_repeats(ids), NOBODY, ids)
    firsts = np.argsort(ids == NOBODY, axis=1, kind="stable")[:, :top_k]
    ids, scores, regions = (np.take_along_axis(values, firsts, 1) for values in (ids, scores, regions))
    missing = ((0, 0), (0, max(0, top_k - ids.shape[1])))
    ids = np.pad(ids, missing, constant_values=NOBODY)
    scores = np.where(ids == NOBODY, np.float32(-np.inf), np.pad(scores, missing))
    return RegionTopK(ids, scores, np.where(ids == NOBODY, np.int32(WHOLE), np.pad(regions, missing)))


def _repeats(ids: Ids) -> NDArray[np.bool_]:
    """(n, m): whether an id stands further left in its row already."""
    by_id = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, by_id, 1)
    again = np.zeros(ids.shape, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeats = np.empty(ids.shape, bool)
    np.put_along_axis(repeats, by_id, again, 1)
    return repeats
