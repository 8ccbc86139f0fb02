"""A box: a part of a picture, as shares of its width and height as displayed; and that part as a picture of its own."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits, decode, read_header

LARGEST_SIDE = 2048  # pixels, of a picture from which a box is cut
ROUNDING = 1e-6  # by which a box may reach out of the picture
BAD_BOX = "bad_box"


class Box(NamedTuple):
    """A part of a picture, as shares of its width and height, 0..1; (``x``, ``y``) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def lies_inside(self) -> bool:
        """Whether it has an area and lies in the picture.

        >>> Box(0.5, 0.5, 0.5, 0.5).lies_inside, Box(0.5, 0, 0.6, 1).lies_inside, Box(0, 0, 0, 1).lies_inside
        (True, False, False)
        """
        across = 0 <= self.x < 1 and 0 < self.width <= 1 - self.x + ROUNDING
        return across and 0 <= self.y < 1 and 0 < self.height <= 1 - self.y + ROUNDING


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def cut(content: bytes | memoryview, box: Box, limits: DecodeLimits | None = None) -> bytes:
    """A part of a picture, as a PNG, from at most ``LARGEST_SIDE`` pixels a side. Raises ``ImageError``."""
    if not box.lies_inside:
        shares = ", ".join(f"{value:g}" for value in box)
        raise ImageError(BAD_BOX, f"the box {shares} does not lie in the picture; give x, y, w, h as shares, 0 to 1")
    header = read_header(content, limits)
    scale = min(1.0, LARGEST_SIDE / max(header.width, header.height))
    size = max(1, round(header.height * scale)), max(1, round(header.width * scale))
    pixels = decode(content, size, limits)
    top, left = int(box.y * size[0]), int(box.x * size[1])
    bottom, right = round((box.y + box.height) * size[0]), round((box.x + box.width) * size[1])
    part = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(part)).save(out, "PNG")
    return out.getvalue()
