"""Vectors in a quarter of their bytes, with the exact length of what that lost: enough to rule pairs out.

A sketch is one int8 a dimension and a float32 scale. Of two vectors with sketches ``a``, ``b`` and errors ``e``, ``f``
(lengths of what was lost), the product differs from that of the sketches by at most ``e (|b| + f) + f |a|``, which for
unit vectors is at most ``e + f + 2 e f``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imgsearch.vectors import Matrix

_ROUNDING = 1e-5  # of float32 sums: sketches are no unit rows, and their products are rounded


def sketched(vectors: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(n, dim) float32 unit rows → (n, dim + 4) bytes and (n,) errors."""
    largest = np.abs(vectors).max(axis=1, initial=0, keepdims=True)
    scales = (largest / 127).astype(np.float32)
    codes = np.rint(vectors / np.where(scales > 0, scales, np.float32(1))).astype(np.int8)
    errors = np.linalg.norm(vectors - codes * scales, axis=1).astype(np.float32)
    return np.concatenate([codes.view(np.uint8), scales.astype("<f4").view(np.uint8)], axis=1), errors


def unsketched(rows: NDArray[np.uint8]) -> Matrix:
    """What ``sketched`` wrote → (n, dim) float32, near the vectors."""
    codes = np.ascontiguousarray(rows[:, :-4]).view(np.int8)
    return codes * np.ascontiguousarray(rows[:, -4:]).view("<f4")


def slack(one: float, other: float) -> float:
    """By how much the product of two vectors can exceed that of their sketches, with these errors."""
    return one + other + 2 * one * other + _ROUNDING
