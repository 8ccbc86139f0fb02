"""Scaling of RGB images, compiled: the bytes that Pillow's ``resize`` gives, in a fraction of its time.

The method is that of Pillow (8 bits per channel), so that no answer depends on which of the two ran: a separable
convolution, across first and down second, with weights in fixed point and a rounding to 8 bits between. What differs is
the order of the work, see ``convolution``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from imgsearch.images.filters import FILTERS, taps

PILLOW_FIRST = 300  # images of a process that Pillow scales: loading the compiled code takes a second

Box = tuple[float, float, float, float]
_seen = 0


def resized(image: Image.Image, size: tuple[int, int], filter: Image.Resampling, box: Box) -> Image.Image:
    """``image.resize(size, filter, box)``, bit for bit.

    ``size``: (width, height). ``box``: (left, top, right, bottom) of what is scaled, fractions of a pixel allowed.
    Left to Pillow: images other than RGB, filters other than those of ``FILTERS``, images that Pillow does not hold in
    one piece, very tall ones, and the first ``PILLOW_FIRST`` of a process.
    """
    global _seen
    _seen += 1
    if _seen <= PILLOW_FIRST or image.mode != "RGB" or filter not in FILTERS or _down_first(image.size, size, box):
        return image.resize(size, filter, box)
    try:
        flat = pa.array(image).flatten().to_numpy()  # Pillow's own memory: four bytes a pixel
    except ValueError:  # it is in several pieces
        return image.resize(size, filter, box)
    scaled = resample(flat.reshape(image.height, image.width, 4), size, filter, box)
    return Image.frombytes("RGB", size, scaled, "raw", "RGBX")


def _down_first(size: tuple[int, int], target: tuple[int, int], box: Box) -> bool:
    """Whether Pillow (some versions of it, at least) scales this tall picture down first and across second."""
    used = (box[2] - box[0], box[3] - box[1])
    return any(2 * (across - target[0]) < down - target[1] for across, down in (size, used))


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
