"""The small JPEG that stands for an image on a page and in a BI tool: of its decoded pixels, without any metadata."""

from __future__ import annotations

import io

from PIL import Image

from imgsearch.images.placement import ACROSS
from imgsearch.images.resampling import resized

THUMBNAIL_SIZE = 160  # pixels, the longer side
QUALITY = 82
MAX_BYTES = 24_500  # as a data URI these are the 32,766 characters that Power BI and Excel keep of a text
#: (longer side in pixels, quality), tried in this order where a picture of noise makes a longer file than that.
SMALLER = ((128, 70), (96, 60), (96, 30))


def fitted(width: int, height: int, size: int = THUMBNAIL_SIZE) -> tuple[int, int]:
    """(width, height) with the longer side at most ``size``, in proportion; never enlarged, never without a pixel.

    >>> fitted(4000, 3000), fitted(40, 30), fitted(10_000, 3)
    ((160, 120), (40, 30), (160, 1))
    """
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def reduced(
    pixels: Image.Image, part: tuple[float, float], turn: Image.Transpose | None, size: tuple[int, int]
) -> Image.Image:
    """Decoded ``pixels`` (grey or RGB, as stored) → RGB of ``size`` (width, height), upright.

    ``part``: (width, height) of the picture within ``pixels``; ``turn``: how it is made upright.
    """
    stored = size[::-1] if turn in ACROSS else size
    small = resized(pixels, stored, Image.Resampling.BICUBIC, (0, 0, *part))
    small = small if turn is None else small.transpose(turn)
    return small.convert("RGB")


def as_jpeg(picture: Image.Image, quality: int = QUALITY) -> bytes:
    """RGB → a JPEG; where it has more than ``MAX_BYTES`` and no side above ``THUMBNAIL_SIZE``, a smaller one."""
    content = _encoded(picture, quality)
    if max(picture.size) > THUMBNAIL_SIZE:
        return content
    return within_bytes(picture, content)


def within_bytes(picture: Image.Image, content: bytes) -> bytes:
    """``content``, the JPEG of an RGB picture, or a smaller one where it has more than ``MAX_BYTES``."""
    for size, less in SMALLER:
        if len(content) <= MAX_BYTES:
            break
        content = _encoded(picture.resize(fitted(*picture.size, size), Image.Resampling.BICUBIC), less)
    return content


def _encoded(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()
