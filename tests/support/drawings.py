"""Pictures with corners and edges enough for local features, drawn at random."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def drawing(seed, size=(360, 270)):
    """Rectangles, discs and lines at random over a gradient, with a little noise."""
    rng = np.random.default_rng(seed)
    across = np.linspace(60, 180, size[0])[None, :, None] + np.linspace(0, 40, size[1])[:, None, None]
    im = Image.fromarray((across + rng.normal(0, 3, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(im)
    for _ in range(60):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        w, h = rng.integers(6, 60, 2)
        shape = (draw.rectangle, draw.ellipse)[rng.integers(2)]
        shape([x, y, x + w, y + h], fill=tuple(int(v) for v in rng.integers(0, 255, 3)))
    return im


def cropped(im, left, top, share):
    w, h = im.size
    box = (left * w, top * h, (left + share) * w, (top + share) * h)
    return im.crop(tuple(round(v) for v in box))
