"""The weights of scaling an image: which pixels one is made of, and how much of each, in fixed point as in Pillow."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 22  # of a weight's fraction: a 32-bit sum holds 8 bits of pixel, 22 of weight, and 2 to spare


class Taps(NamedTuple):
    """What m output pixels are made of: ``counts`` input pixels from ``starts`` on (m,), by ``weights`` (m, k)."""

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    weights: NDArray[np.int32]


@lru_cache(maxsize=256)
def taps(n: int, begin: float, end: float, n_scaled: int, filter: Image.Resampling) -> Taps:
    """``n`` pixels, of which those from ``begin`` to ``end`` become ``n_scaled``; the filter widens with the scale.

    Sums are taken and rounded in the order in which Pillow takes them.
    """
    weigh, support = FILTERS[filter]
    begin32, end32 = np.float32(begin), np.float32(end)
    scale = float(end32 - begin32) / n_scaled
    widened = max(scale, 1.0)
    centres = float(begin32) + (np.arange(n_scaled) + 0.5) * scale
    starts = np.maximum(np.trunc(centres - support * widened + 0.5), 0).astype(np.int64)
    ends = np.minimum(np.trunc(centres + support * widened + 0.5), n).astype(np.int64)
    counts = ends - starts
    tap = np.arange(int(counts.max(initial=0)))
    places = (tap[None] + starts[:, None]) - centres[:, None] + 0.5
    weights = np.where(tap[None] < counts[:, None], weigh(places * (1.0 / widened)), 0.0)
    sums = np.cumsum(weights, axis=1)[:, -1:]  # one after the other, as a loop would
    weights = np.divide(weights, sums, out=weights, where=sums != 0) * (1 << BITS)
    return Taps(starts, counts, np.trunc(weights + np.where(weights < 0, -0.5, 0.5)).astype(np.int32))


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(x)
    return np.where(x < 1, 1 - x, 0.0)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys (1981) with a = -1/2."""
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


#: The filters scaled here: weight at a distance, and the distance from which on it is zero.
FILTERS = {
    Image.Resampling.BOX: (_box, 0.5),
    Image.Resampling.BILINEAR: (_bilinear, 1.0),
    Image.Resampling.BICUBIC: (_bicubic, 2.0),
}
