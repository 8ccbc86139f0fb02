"""A few pictures as arrays, the same for everyone: what a network is shown when it is quantised (no user's data)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgsearch.drawing.kinds import KINDS
from imgsearch.drawing.scene import Item, picture

DRAWN = (320, 320)  # pixels, before they are scaled


def sample_pictures(n: int, size: tuple[int, int], seed: int = 7) -> NDArray[np.uint8]:
    """``n`` pictures of equipment, kinds in turn, scaled to ``size`` (height, width): uint8 (n, height, width, 3)."""
    kinds = list(KINDS)
    return np.stack([_drawn(kinds[i % len(kinds)], i // len(kinds), i, size, seed) for i in range(n)])


def _drawn(kind: str, number: int, visit: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    drawn = picture(Item.make(kind, number, seed), DRAWN, np.random.default_rng([seed, 9, visit]))
    return np.asarray(drawn.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC))
