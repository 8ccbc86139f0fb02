"""Whatever a file stores, as 8-bit grey or RGB: the rules for deep, transparent and non-RGB pixels.

* **Deep grey** (16-bit, 32-bit integer, float): a window of the image's own grey levels, from its 0.01 % to its
  99.99 % quantile, is spread over 0..255 (``window``). Monotone; a few hot or dead pixels cannot darken the rest, and
  a 12-bit camera, a 14-bit thermogram, and a float map in any unit all come out with contrast. Absolute level is given
  up, because no file says reliably how many of its bits are used.
* **Deep colour** (16-bit RGB, PNG or TIFF): the high byte of each sample, which is what Pillow reads.
* **Transparency** (alpha channel, transparent palette entry or key colour): laid over white, as a page would show it;
  over black where on white nothing at all would be seen (a white logo that lives in its alpha).
* **CMYK, YCbCr, palette, 1-bit**: Pillow's conversion, without ICC profiles (Adobe's inverted CMYK included).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOW, HIGH = 0.0001, 0.9999  # quantiles that become 0 and 255
SAMPLE = 1 << 20  # values looked at to place the window of 32-bit images
EMPTY_PAGE = 248  # a page whose darkest level is this shows nothing
BAND = 1 << 22  # pixels converted at once
ROWS = 256  # rows scaled at once: bounds the float copies
DEEP_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})


def to_8bit(im: Image.Image, *, inverted: bool = False, page: str | None = None) -> Image.Image:
    """``im``, loaded, in mode ``L`` (grey) or ``RGB`` by this module's rules; itself if it is so already.

    ``inverted``: deep grey counts from white (TIFF's ``WhiteIsZero``, which Pillow applies to 8-bit images only).
    ``page``: the colour that a transparent image is laid over, where another than white (``page_colour``).
    Raises ``ValueError`` for modes without a conversion (``LAB``).
    """
    if im.mode in DEEP_MODES:
        return Image.fromarray(_grey(window(np.asarray(im)), inverted))
    if im.has_transparency_data:
        return _on_page(im, "white" if page is None else page)
    if im.mode in ("L", "RGB"):
        return im
    return im.convert("L" if im.mode == "1" else "RGB")


def _on_page(im: Image.Image, colour: str) -> Image.Image:
    layer = im.convert("RGBA")
    page = Image.new("RGB", im.size, colour)
    page.paste(layer, mask=layer)
    return page


def page_colour(im: Image.Image) -> str:
    """What a transparent image is laid over: black if on white it would be an empty page, else white."""
    least, most = 255, 0  # alpha
    for _, band in bands(im, max(1, BAND // 16 // max(1, im.width))):  # small: the image may fill the memory by itself
        low, high = np.asarray(band.convert("RGBA").getextrema())[3].tolist()
        least, most = min(least, low), max(most, high)
        if np.asarray(_on_page(band, "white").getextrema()).min() < EMPTY_PAGE:
            return "white"
    return "black" if least < most else "white"


def reduced_to_8bit(im: Image.Image, factors: tuple[int, int], *, inverted: bool = False) -> Image.Image:
    """``to_8bit(im, inverted).reduce(factors)``, holding little more than ``im`` and the result.

    ``factors``: (across, down), whole. CMYK is reduced first, and converted then.
    """
    if im.mode == "CMYK":
        return to_8bit(im.reduce(factors))
    page = page_colour(im) if im.mode not in DEEP_MODES and im.has_transparency_data else None
    if im.width * im.height <= BAND or (im.mode in ("L", "RGB") and not im.has_transparency_data):
        whole = to_8bit(im, inverted=inverted, page=page)
        return whole if factors == (1, 1) else whole.reduce(factors)
    across, down = factors
    rows = max(1, BAND // im.width // down) * down  # whole blocks, so that bands change no average
    convert = _deep_conversion(im, rows, inverted) if im.mode in DEEP_MODES else partial(to_8bit, page=page)
    out: Image.Image | None = None
    for top, band in bands(im, rows):
        small = convert(band).reduce(factors)
        out = out or Image.new(small.mode, (-(-im.width // across), -(-im.height // down)))
        out.paste(small, (0, top // down))
    assert out is not None  # an image has rows
    return out


def bands(im: Image.Image, rows: int) -> Iterator[tuple[int, Image.Image]]:
    """(first row, a copy of ``rows`` rows) from top to bottom."""
    for top in range(0, im.height, rows):
        yield top, im.crop((0, top, im.width, min(im.height, top + rows)))


def _deep_conversion(im: Image.Image, rows: int, inverted: bool) -> Callable[[Image.Image], Image.Image]:
    """The window of the whole of ``im``, for its bands."""
    scale = scaling((np.asarray(band) for _, band in bands(im, rows)), im.width * im.height)
    return lambda band: Image.fromarray(_grey(scale(np.asarray(band)), inverted))


def _grey(levels: NDArray[np.uint8], inverted: bool) -> NDArray[np.uint8]:
    return 255 - levels if inverted else levels


def window(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Deep grey levels as 8 bits: ``round(255 * (v - low) / (high - low))``, clipped to 0..255.

    ``values``: (h, w) integers or floats. ``low`` and ``high`` are the 0.01 % and 99.99 % quantiles of the finite
    values (of an evenly spaced sample of about a million, for types wider than 16 bits). NaN and -inf become 0, +inf
    255; an image of one value becomes 0 everywhere. Integers are never stretched beyond one grey level a step, and
    integers within 0..255 are 8-bit levels already and stay as they are. Returns (h, w) uint8.
    """
    return scaling([values], values.size)(values)


def scaling(bands: Iterable[NDArray[np.generic]], size: int) -> Callable[[NDArray[np.generic]], NDArray[np.uint8]]:
    """``window`` in two steps: what scales any part of the ``size`` values that ``bands`` (each read once) hold."""
    step = max(1, size // SAMPLE)
    samples: list[NDArray[np.float64]] = []
    counts: NDArray[np.int64] | None = np.zeros(1 << 16, np.int64)
    least, most, at, integers = 0, 0, 0, True
    for band in bands:
        flat = band.ravel()
        integers = integers and flat.dtype.kind in "ui"
        if integers and flat.size:
            low, high = int(flat.min()), int(flat.max())
            least, most = (min(least, low), max(most, high)) if at else (low, high)
            counts = None if counts is None or low < 0 or high >= 1 << 16 else counts + _counts(flat)
        samples.append(flat[-at % step :: step].astype(np.float64))
        at += flat.size
    if not integers:
        return partial(_scaled, ends=_quantiles(np.concatenate(samples)))
    if least >= 0 and most <= 255:
        return lambda values: values.astype(np.uint8)
    if counts is not None:
        return _table(counts, at)
    low, high = (round(end) for end in _quantiles(np.concatenate(samples)))
    return partial(_scaled, ends=(low, max(high, low + 255)))


def _counts(flat: NDArray[np.generic]) -> NDArray[np.int64]:
    """How often each 16-bit level occurs; a part at a time, because ``bincount`` makes 64-bit copies."""
    counts = np.zeros(1 << 16, np.int64)
    for start in range(0, flat.size, BAND):
        counts += np.bincount(flat[start : start + BAND], minlength=1 << 16)
    return counts


def _table(counts: NDArray[np.int64], size: int) -> Callable[[NDArray[np.generic]], NDArray[np.uint8]]:
    """The window of 16-bit levels, by a table of them."""
    reached = np.cumsum(counts)
    low = int(np.searchsorted(reached, LOW * size, side="right"))
    high = int(np.searchsorted(reached, HIGH * size, side="left"))
    levels = _scaled(np.arange(1 << 16, dtype=np.float32), (low, max(high, low + 255)))
    return lambda values: levels[values]


def _quantiles(sample: NDArray[np.float64]) -> tuple[float, float]:
    """The window's ends, from the finite values of a sample; (0, 0) if there is none."""
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    last = sample.size - 1
    places = int(np.floor(LOW * last)), int(np.ceil(HIGH * last))
    sample.partition(places)
    return float(sample[places[0]]), float(sample[places[1]])


def _scaled(values: NDArray[np.generic], ends: tuple[float, float]) -> NDArray[np.uint8]:
    """``values`` from the two ends to 0..255, a few rows at a time."""
    low, high = ends
    out = np.empty(values.shape, np.uint8)
    gain = 255.0 / (high - low) if high > low else 0.0
    for start in range(0, len(values), max(1, ROWS if values.ndim > 1 else len(values))):
        rows = slice(start, start + ROWS) if values.ndim > 1 else slice(None)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (values[rows].astype(np.float64) - low) * gain
        scaled[values[rows] == np.inf] = 255.0
        out[rows] = np.nan_to_num(scaled, nan=0.0).clip(0.0, 255.0).round()
    return out
