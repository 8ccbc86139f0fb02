"""Scaling of RGB images, compiled: the bytes that Pillow's ``resize`` gives, in a fraction of its time.

The method is that of Pillow (8 bits per channel), so that no answer depends on which of the two ran: a separable
convolution, across first and down second, with weights in fixed point and a rounding to 8 bits between. What differs is
the order of the work, see ``convolution``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

BITS = 22  # of a weight's fraction: a 32-bit sum holds 8 bits of pixel, 22 of weight, and 2 to spare
PATIENCE = 300  # images that a process leaves to Pillow before it loads the compiled code, which takes a second

Box = tuple[float, float, float, float]
_seen = 0


class Taps(NamedTuple):
    """What m output pixels are made of: ``counts`` input pixels from ``starts`` on (m,), by ``weights`` (m, k)."""

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    weights: NDArray[np.int32]


def resized(image: Image.Image, size: tuple[int, int], filter: Image.Resampling, box: Box) -> Image.Image:
    """``image.resize(size, filter, box)``, bit for bit.

    ``size``: (width, height). ``box``: (left, top, right, bottom) of what is scaled, fractions of a pixel allowed.
    Left to Pillow: images other than RGB, filters other than those of ``FILTERS``, images that Pillow does not hold in
    one piece, very tall ones, and the first ``PATIENCE`` of a process.
    """
    global _seen
    _seen += 1
    if _seen <= PATIENCE or image.mode != "RGB" or filter not in FILTERS or _down_first(image.size, size, box):
        return image.resize(size, filter, box)
    try:
        flat = pa.array(image).flatten().to_numpy()  # Pillow's own memory: four bytes a pixel
    except ValueError:  # it is in several pieces
        return image.resize(size, filter, box)
    scaled = resample(flat.reshape(image.height, image.width, 4), size, filter, box)
    return Image.frombytes("RGB", size, scaled, "raw", "RGBX")


def _down_first(have: tuple[int, int], wanted: tuple[int, int], box: Box) -> bool:
    """Whether Pillow (some versions of it, at least) scales this tall picture down first and across second."""
    used = (box[2] - box[0], box[3] - box[1])
    return any(2 * (across - wanted[0]) < down - wanted[1] for across, down in (have, used))


def resample(pixels: NDArray[np.uint8], size: tuple[int, int], filter: Image.Resampling, box: Box) -> NDArray[np.uint8]:
    """(h, w, 4) uint8, C-contiguous → (size[1], size[0], 4) uint8; ``size`` and ``box`` as in ``resized``."""
    from imgsearch.images.convolution import across, down  # numba: not for processes that scale a few images

    height, width = pixels.shape[:2]
    columns, rows = taps(width, box[0], box[2], size[0], filter), taps(height, box[1], box[3], size[1], filter)
    first, last = int(rows.starts[0]), int(rows.starts[-1] + rows.counts[-1])
    if (box[0], box[2], size[0]) != (0, width, width):
        narrow = np.empty((last - first, size[0]), np.uint32)
        across(pixels[first:last].view(np.uint32)[..., 0], *columns, narrow)
        pixels = narrow.view(np.uint8).reshape(last - first, size[0], 4)
        rows = rows._replace(starts=rows.starts - first)
    if (box[1], box[3], size[1]) == (0, height, height):
        return pixels
    out = np.empty((size[1], size[0] * 4), np.uint8)
    down(pixels.reshape(len(pixels), -1), *rows, out)
    return out.reshape(size[1], size[0], 4)


@lru_cache(maxsize=256)
def taps(have: int, begin: float, end: float, wanted: int, filter: Image.Resampling) -> Taps:
    """``have`` pixels, of which those from ``begin`` to ``end`` become ``wanted``; the filter widens with the scale.

    Sums are taken and rounded in the order in which Pillow takes them.
    """
    weigh, support = FILTERS[filter]
    begin32, end32 = np.float32(begin), np.float32(end)
    scale = float(end32 - begin32) / wanted
    widened = max(scale, 1.0)
    centres = float(begin32) + (np.arange(wanted) + 0.5) * scale
    starts = np.maximum(np.trunc(centres - support * widened + 0.5), 0).astype(np.int64)
    ends = np.minimum(np.trunc(centres + support * widened + 0.5), have).astype(np.int64)
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
