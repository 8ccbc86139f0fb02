"""Whatever a file stores, as 8-bit grey or RGB: the rules for deep, transparent and non-RGB pixels.

* **Deep grey** (16-bit, 32-bit integer, float): a window of the image's own grey levels, from its 0.01 % to its
  99.99 % quantile, is spread over 0..255 (``window``). Monotone; a few hot or dead pixels cannot darken the rest, and
  a 12-bit camera, a 14-bit thermogram, and a float map in any unit all come out with contrast. Absolute level is given
  up, because no file says reliably how many of its bits are used.
* **Deep colour** (16-bit RGB, PNG or TIFF): the high byte of each sample, which is what Pillow reads.
* **Transparency** (alpha channel, transparent palette entry or key colour): laid over white, as a page would show it.
* **CMYK, YCbCr, palette, 1-bit**: Pillow's conversion, without ICC profiles (Adobe's inverted CMYK included).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOW, HIGH = 0.0001, 0.9999  # quantiles that become 0 and 255
SAMPLE = 1 << 20  # values looked at to place the window of 32-bit images
ROWS = 256  # rows scaled at once: bounds the float copies
DEEP_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})


def to_8bit(im: Image.Image, inverted: bool = False) -> Image.Image:
    """``im``, loaded, in mode ``L`` (grey) or ``RGB`` by this module's rules; itself if it is so already.

    ``inverted``: deep grey counts from white (TIFF's ``WhiteIsZero``, which Pillow applies to 8-bit images only).
    Raises ``ValueError`` for modes without a conversion (``LAB``).
    """
    if im.mode in DEEP_MODES:
        grey = window(np.asarray(im))
        return Image.fromarray(255 - grey if inverted else grey)
    if im.has_transparency_data:
        layer = im.convert("RGBA")
        page = Image.new("RGB", im.size, "white")
        page.paste(layer, mask=layer)
        return page
    if im.mode in ("L", "RGB"):
        return im
    return im.convert("L" if im.mode == "1" else "RGB")


def window(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Deep grey levels as 8 bits: ``round(255 * (v - low) / (high - low))``, clipped to 0..255.

    ``values``: (h, w) integers or floats. ``low`` and ``high`` are the 0.01 % and 99.99 % quantiles of the finite
    values (of an evenly spaced sample of about a million, for types wider than 16 bits). NaN and -inf become 0, +inf
    255; an image of one value becomes 0 everywhere. Integers are never stretched beyond one grey level a step, and
    integers within 0..255 are 8-bit levels already and stay as they are. Returns (h, w) uint8.
    """
    if values.dtype.kind in "ui":
        return _window_integers(values)
    return _scaled(values, *_quantiles(values))


def _window_integers(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    if not values.size:
        return np.zeros(values.shape, np.uint8)
    least, most = int(values.min()), int(values.max())
    if least >= 0 and most <= 255:
        return values.astype(np.uint8)
    if least >= 0 and most < 1 << 16:
        counts = np.bincount(values.ravel(), minlength=1 << 16)
        reached = np.cumsum(counts)
        low = int(np.searchsorted(reached, LOW * values.size, side="right"))
        high = int(np.searchsorted(reached, HIGH * values.size, side="left"))
        levels = np.arange(1 << 16, dtype=np.float32)
        return _scaled(levels, low, max(high, low + 255))[values]
    low, high = (round(bound) for bound in _quantiles(values))
    return _scaled(values, low, max(high, low + 255))


def _quantiles(values: NDArray[np.generic]) -> tuple[float, float]:
    """The window's ends, from a sample of finite values; (0, 0) if there is none."""
    flat = values.ravel()
    sample = flat[:: max(1, flat.size // SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    last = sample.size - 1
    ends = int(np.floor(LOW * last)), int(np.ceil(HIGH * last))
    sample.partition(ends)
    return float(sample[ends[0]]), float(sample[ends[1]])


def _scaled(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    """``values`` from [low, high] to 0..255, a few rows at a time."""
    out = np.empty(values.shape, np.uint8)
    gain = 255.0 / (high - low) if high > low else 0.0
    for start in range(0, len(values), max(1, ROWS if values.ndim > 1 else len(values))):
        rows = slice(start, start + ROWS) if values.ndim > 1 else slice(None)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (values[rows].astype(np.float64) - low) * gain
        scaled[values[rows] == np.inf] = 255.0
        out[rows] = np.nan_to_num(scaled, nan=0.0).clip(0.0, 255.0).round()
    return out
