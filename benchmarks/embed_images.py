"""Photograph-like files for ``benchmarks/embed.py``: three mixes, the same bytes for the same numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

DISTINCT = 24  # pictures of a mix that differ (8 of the large); the rest are the same bytes under other names

FLIPS = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180)


class Mix(NamedTuple):
    """One kind of file. ``images``: how many at the sizes small and full."""

    width: int
    height: int
    suffix: str
    images: tuple[int, int]


MIXES = {
    "640x480 jpeg": Mix(640, 480, ".jpg", (96, 768)),
    "12 MP jpeg": Mix(4032, 3024, ".jpg", (24, 192)),
    "200x200 grey png": Mix(200, 200, ".png", (96, 768)),
}


def make(folder: Path, name: str, n: int) -> Path:
    """``n`` files of one mix in a folder of their own; returns it. A folder that is complete is left as it is."""
    mix = MIXES[name]
    out = folder / f"{name.replace(' ', '_')}_{n}"
    if (out / ".complete").exists():
        return out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    large = mix.width > 2000
    base = [_scene(rng, mix.width, mix.height) for _ in range(2 if large else 6)]
    turns = (None, *FLIPS)
    files: list[bytes] = []
    for i in range(min(n, 8 if large else DISTINCT)):
        turn = turns[i // len(base)]
        picture = base[i % len(base)]
        files.append(_encoded(picture if turn is None else picture.transpose(turn), mix.suffix))
    for i in range(n):
        (out / f"{i:05d}{mix.suffix}").write_bytes(files[i % len(files)])
    (out / ".complete").touch()
    return out


def _scene(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A picture whose spectrum falls as a photograph's does (power as 1/f²), with the noise of a small sensor."""
    total = np.zeros((height, width, 3), np.float32)
    cells = 3
    while cells < max(width, height):
        layer = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), np.float32) / cells**0.8
        cells *= 2
    total -= total.min()
    total *= 235 / total.max()
    total += rng.normal(10, 6, total.shape)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def _encoded(picture: Image.Image, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        picture.convert("L").save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
