"""The score from which two images are a match, learnt from pairs that are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.vectors import Matrix

_BLOCK = 2048


class Calibration(NamedTuple):
    """Pairs that score ``threshold`` or more match with ``precision``; ``recall`` of all matches are among them."""

    threshold: float
    precision: float
    recall: float
    n_pairs: int
    n_matching: int


def calibrate(scores: NDArray[np.float32], matching: NDArray[np.bool_], precision: float) -> Calibration | None:
    """The lowest threshold at which at least ``precision`` of the pairs at or above it match; ``None`` where none does.

    ``scores``: (n,) float32; ``matching``: (n,) bool. Pairs of equal score stand or fall together.

    >>> calibrate(np.float32([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]), 0.7)[:3]
    (0.6000000238418579, 0.75, 1.0)
    """
    if not len(scores) or not matching.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    right = np.cumsum(matching[order])
    share = right / np.arange(1, len(order) + 1)
    last_of_equal = np.append(ordered[1:] != ordered[:-1], True)
    good = np.flatnonzero(last_of_equal & (share >= precision))
    if not len(good):
        return None
    at = int(good[-1])
    return Calibration(
        float(ordered[at]), float(share[at]), float(right[at] / right[-1]), len(scores), int(matching.sum())
    )


def labelled_pairs(vectors: Matrix, labels: NDArray[np.str_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Every pair of rows: its score, and whether both have the same label.

    ``vectors``: (n, dim) float32 unit rows; ``labels``: (n,). Returns (n·(n − 1)/2,) each: 5 bytes a pair.
    """
    codes = np.unique(labels, return_inverse=True)[1]
    scores, same = [], []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK] @ vectors[start:].T
        upper = np.triu(np.ones(block.shape, bool), 1)
        scores.append(block[upper])
        same.append((codes[start : start + _BLOCK, None] == codes[None, start:])[upper])
    if not scores:
        return np.zeros(0, np.float32), np.zeros(0, bool)
    return np.concatenate(scores), np.concatenate(same)
