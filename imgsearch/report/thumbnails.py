"""A small JPEG that stands for an image on a page."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

QUALITY = 82
PAPER = (255, 255, 255)


def thumbnail(content: bytes, size: int = 160) -> bytes | None:
    """``content`` (any file Pillow reads) → a JPEG whose longer side is at most ``size`` pixels.

    EXIF orientation is applied and all metadata dropped (a photo's GPS position does not leave the lake in a report).
    Transparent pixels become white; 16-bit and floating-point images are stretched from their own minimum to their
    own maximum, because they are there to be looked at. Images are never enlarged. JPEGs are decoded at the nearest
    smaller DCT scale (Pillow's draft mode). Of an animation the first frame is taken.

    Returns ``None`` where the content cannot be decoded (empty, truncated, unknown format, decompression bomb). HEIF
    needs pillow-heif registered by the caller. Raises ``ValueError`` when ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"thumbnail size {size}: must be at least 1 pixel")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (size * 2, size * 2))  # twice the size: the resampling below needs room to average
            small = _eight_bit(image)
            small.thumbnail((size, size), Image.Resampling.BOX if min(image.size) < size else Image.Resampling.LANCZOS)
            upright = ImageOps.exif_transpose(small)
        return _jpeg(_on_paper(upright))
    except Exception:  # Pillow's decoders raise nearly everything on damaged files (struct.error, SyntaxError, …)
        return None


def _eight_bit(image: Image.Image) -> Image.Image:
    """A mode that can be resampled: palettes and bitmaps cannot, deep images have to be stretched first."""
    if image.mode in ("RGB", "RGBA", "L"):
        return image.copy()
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image, dtype=np.float32)
        finite = deep[np.isfinite(deep)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        grey = np.nan_to_num((deep - low) * (255.0 / (high - low or 1.0)), nan=0.0, posinf=255.0, neginf=0.0)
        stretched = Image.fromarray(grey.astype(np.uint8))
        stretched.info["exif"] = image.info.get("exif", b"")
        return stretched
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _on_paper(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image if image.mode == "L" else image.convert("RGB")
    paper = Image.new("RGB", image.size, PAPER)
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.info.clear()  # else Pillow would write the comment and profile on
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()
