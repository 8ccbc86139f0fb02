"""How sharp, bright, contrasty and busy an image is: four numbers of its grey image.

The grey image is ITU-R BT.601 luma, rounded to 8 bits as Pillow's ``convert("L")`` does it, and read as 0..1.
``sharpness`` is the variance of the 4-neighbour Laplacian (Pech-Pacheco et al., 2000) over the interior; it depends on
the image's size, so compare images decoded to one size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Quality(NamedTuple):
    """The quality columns of the ``embeddings`` table, in its order."""

    sharpness: float
    brightness: float
    contrast: float
    entropy: float


def quality(rgb: NDArray[np.uint8]) -> Quality:
    """The quality of one image: (h, w, 3) uint8 RGB. Raises ``ValueError`` for another shape or type."""
    return Quality(*(float(value) for value in quality_batch(rgb[None])[0]))


def quality_batch(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Quality of images of one size: (n, h, w, 3) uint8 → (n, 4) float32, columns as in ``Quality``.

    Images under 3 pixels high or wide have no interior: sharpness 0. Raises ``ValueError`` for another shape or type.
    """
    if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape[1:3]:
        raise ValueError(f"wanted (n, h, w, 3) uint8, got {rgb.shape} {rgb.dtype}")
    return np.array([_of_grey(grey(image)) for image in rgb], np.float32).reshape(-1, 4)


def grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) RGB → (h, w) uint8: 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, as Pillow's ``convert("L")``."""
    total = rgb[..., 0] * np.uint32(19595)
    total += rgb[..., 1] * np.uint32(38470)
    total += rgb[..., 2] * np.uint32(7471)
    total += np.uint32(0x8000)
    total >>= np.uint32(16)
    return total.astype(np.uint8)


def _of_grey(image: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Sharpness, brightness, contrast and entropy of a grey image, from exact integer sums."""
    counts = np.bincount(image.ravel(), minlength=256)
    levels = np.arange(256)
    n = image.size
    mean = int(counts @ levels) / n
    variance = int(counts @ levels**2) / n - mean**2
    share = counts[counts > 0] / n
    entropy = -float(share @ np.log2(share))
    return laplacian_variance(image), mean / 255, max(variance, 0.0) ** 0.5 / 255, max(entropy, 0.0)


def laplacian_variance(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a grey image's interior, grey levels as 0..1; 0 if there is no interior."""
    if min(image.shape) < 3:
        return 0.0
    levels = image.astype(np.int16)
    edges = levels[1:-1, 1:-1] * np.int16(-4)
    edges += levels[:-2, 1:-1]
    edges += levels[2:, 1:-1]
    edges += levels[1:-1, :-2]
    edges += levels[1:-1, 2:]
    flat = edges.ravel().astype(np.float64)
    mean = flat.mean()
    return float((flat @ flat / flat.size - mean**2) / 255**2)
