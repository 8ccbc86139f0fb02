"""What happens to files in a data lake: copies that are almost the same, and files that are no longer images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from plantdemo.drawing.decals import font

NEAR_COPIES = ("resaved", "cropped", "watermarked", "shrunk")
DAMAGES = ("truncated", "empty", "text", "stump")


def near_copy(content: bytes, way: str, rng: np.random.Generator) -> bytes:
    """The same photograph saved again, cropped, watermarked or made smaller: JPEG in, JPEG out.

    Raises ``ValueError`` for a ``way`` that is not one of ``NEAR_COPIES``.
    """
    with Image.open(io.BytesIO(content)) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    w, h = image.size
    quality = int(rng.integers(55, 90))
    if way == "resaved":
        quality = int(rng.integers(25, 50))
    elif way == "cropped":
        share = rng.uniform(0.80, 0.95)
        x, y = rng.uniform(0, 1 - share, 2)
        image = image.crop((int(x * w), int(y * h), int((x + share) * w), int((y + share) * h)))
    elif way == "watermarked":
        draw = ImageDraw.Draw(image, "RGBA")
        text = str(rng.choice(["INSPECTION COPY", "(c) Plant Archive", "CONFIDENTIAL"]))
        draw.text(
            (w * 0.5, h * rng.uniform(0.75, 0.93)), text, font=font(w * 0.055), fill=(255, 255, 255, 150), anchor="mm"
        )
    elif way == "shrunk":
        factor = rng.uniform(0.45, 0.75)
        image = image.resize((int(w * factor), int(h * factor)), Image.Resampling.LANCZOS)
    else:
        raise ValueError(f"near copy {way!r}: must be one of {', '.join(NEAR_COPIES)}")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def damaged(content: bytes, way: str, rng: np.random.Generator) -> bytes:
    """A file that no decoder should accept: a JPEG cut off, nothing at all, text, or the first bytes only.

    Raises ``ValueError`` for a ``way`` that is not one of ``DAMAGES``.
    """
    if way == "truncated":
        return content[: int(len(content) * rng.uniform(0.3, 0.8))]
    if way == "empty":
        return b""
    if way == "text":
        return b"upload failed: 504 Gateway Time-out\r\nretry after 30 s\r\n"
    if way == "stump":
        return content[: int(rng.integers(20, 120))]
    raise ValueError(f"damage {way!r}: must be one of {', '.join(DAMAGES)}")
