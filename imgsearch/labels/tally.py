"""Retrieval quality of queries against a gallery of any size: what each task can count, and what the counts say.

The full ranking of millions of images is never made. Each query counts the scores it has seen, and those of relevant
images, in ``BINS`` steps of the cosine, and holds its ``TOP`` best. Precision and hit rate at a cut up to ``TOP`` are
exact. Average precision takes the images of one step to be mixed evenly; ``ap_low`` and ``ap_high`` are what it would
be if the relevant ones of each step came last or first, so the error has a bound.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.compiled import compiled
from imgsearch.vectors import Ids, Matrix

BINS = 4_096
TOP = 10
_ROWS = 2_048
_NOBODY = np.iinfo(np.int64).max


class Quality(NamedTuple):
    """Per query: ``n_relevant`` (n,) int64; ``relevant`` (n, TOP) bool, best first; ``ap``, ``ap_low``, ``ap_high``
    (n,) float64, 0 where nothing is relevant."""

    n_relevant: Ids
    relevant: NDArray[np.bool_]
    ap: NDArray[np.float64]
    ap_low: NDArray[np.float64]
    ap_high: NDArray[np.float64]


class Tally(NamedTuple):
    """Counts of n queries: ``all`` and ``relevant`` (n, BINS) int32; ``scores`` (n, TOP) float32, ``keys`` (n, TOP)
    int64 and ``is_relevant`` (n, TOP) bool, best first, then the lowest key; −inf where there are fewer."""

    all: NDArray[np.int32]
    relevant: NDArray[np.int32]
    scores: NDArray[np.float32]
    keys: Ids
    is_relevant: NDArray[np.bool_]

    @classmethod
    def empty(cls, n: int) -> Tally:
        """Nothing seen."""
        return cls(
            np.zeros((n, BINS), np.int32), np.zeros((n, BINS), np.int32), np.full((n, TOP), -np.inf, np.float32),
            np.full((n, TOP), _NOBODY, np.int64), np.zeros((n, TOP), np.bool_),
        )  # fmt: skip

    def look_at(
        self, queries: Matrix, own: Ids, classes: Ids, gallery: Matrix, keys: Ids, gallery_classes: Ids,
        first: Ids | None = None,
    ) -> None:  # fmt: skip
        """Look at more of the gallery. ``queries`` (n, dim), ``own`` (n,) the key that each must not find, ``classes``
        (n,); ``gallery`` (m, dim), ``keys`` (m,), ``gallery_classes`` (m,). ``first``: (n,) the key that comes first
        whatever it scores, −1 for none."""
        for start in range(0, len(gallery), _ROWS):
            part = slice(start, start + _ROWS)
            products = queries @ gallery[part].T
            if first is not None:
                products[first[:, None] == keys[part]] = 2.0
            _count(products, own, classes, keys[part], gallery_classes[part], *self)

    def merge(self, other: Tally) -> Tally:
        """Both, over disjoint parts of the gallery."""
        scores = np.concatenate([self.scores, other.scores], axis=1)
        keys = np.concatenate([self.keys, other.keys], axis=1)
        is_relevant = np.concatenate([self.is_relevant, other.is_relevant], axis=1)
        best = np.lexsort((keys, -scores), axis=1)[:, :TOP]
        return Tally(
            self.all + other.all, self.relevant + other.relevant,
            *(np.take_along_axis(values, best, 1) for values in (scores, keys, is_relevant)),
        )  # fmt: skip

    def rows(self, some: slice) -> Tally:
        """Some of the queries."""
        return Tally(self.all[some], self.relevant[some], self.scores[some], self.keys[some], self.is_relevant[some])

    def to_bytes(self) -> bytes:
        """For ``from_bytes``."""
        return b"".join(np.ascontiguousarray(part).tobytes() for part in self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Tally:
        """What ``to_bytes`` wrote."""
        like = cls.empty(1)
        n = len(data) // sum(part.nbytes for part in like)
        parts: list[Any] = []
        offset = 0
        for part in like:
            values = np.frombuffer(data, part.dtype, n * part.shape[1], offset)
            parts.append(values.reshape(n, part.shape[1]))
            offset += values.nbytes
        return cls(*parts)

    def quality(self) -> Quality:
        """What the counts say."""
        n = len(self.all)
        ap = np.zeros((3, n))
        _average_precision(self.all, self.relevant, ap)
        return Quality(self.relevant.sum(axis=1, dtype=np.int64), self.is_relevant, *ap)


@compiled
def _count(  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    products, own, classes, keys, gallery_classes, counts, relevant_counts, scores, best_keys, is_relevant
):
    n_bins, top = counts.shape[1], scores.shape[1]
    for q in range(products.shape[0]):
        for row in range(products.shape[1]):
            if keys[row] == own[q]:
                continue
            value = products[q, row]
            step = min(max(int((value + np.float32(1.0)) * np.float32(n_bins / 2)), 0), n_bins - 1)
            counts[q, step] += 1
            same = classes[q] == gallery_classes[row]
            if same:
                relevant_counts[q, step] += 1
            last = scores[q, top - 1]
            if value > last or (value == last and keys[row] < best_keys[q, top - 1]):
                at = top - 1
                while at > 0 and (
                    value > scores[q, at - 1] or (value == scores[q, at - 1] and keys[row] < best_keys[q, at - 1])
                ):
                    scores[q, at], best_keys[q, at] = scores[q, at - 1], best_keys[q, at - 1]
                    is_relevant[q, at] = is_relevant[q, at - 1]
                    at -= 1
                scores[q, at], best_keys[q, at], is_relevant[q, at] = value, keys[row], same


@compiled
def _average_precision(counts, relevant_counts, ap):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    for q in range(counts.shape[0]):
        seen, relevant = 0.0, 0.0
        for step in range(counts.shape[1] - 1, -1, -1):
            here, alike = float(counts[q, step]), relevant_counts[q, step]
            others = here - alike
            for j in range(1, alike + 1):
                ap[0, q] += (relevant + j) / (seen + j + others * j / (alike + 1))
                ap[1, q] += (relevant + j) / (seen + j + others)
                ap[2, q] += (relevant + j) / (seen + j)
            seen += here
            relevant += alike
        if relevant > 0:
            for i in range(3):
                ap[i, q] /= relevant
