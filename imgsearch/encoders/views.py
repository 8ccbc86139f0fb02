"""A picture as it would look after an edit: mirrored, turned, cropped. Each view has an embedding of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.runtime import Runtime
from imgsearch.images.decode import DecodeLimits, decode
from imgsearch.vectors import Matrix

Pixels = NDArray[np.uint8]

#: What each way of ``--augment`` makes of a picture.
VIEWS = {
    "flip": ("mirror",),
    "rotate": ("turn90", "turn180", "turn270"),
    "crop": ("centre", "top-left", "top-right", "bottom-left", "bottom-right"),
}
#: Share of each side that a crop keeps: half of the area.
CROP = 0.7
_PLACES = {"centre": (0.5, 0.5), "top-left": (0, 0), "top-right": (0, 1), "bottom-left": (1, 0), "bottom-right": (1, 1)}
_TURNS = {"turn90": 1, "turn180": 2, "turn270": 3}


def view_names(ways: Iterable[str]) -> tuple[str, ...]:
    """The views of some ways (keys of ``VIEWS``), in their order there."""
    chosen = set(ways)
    return tuple(name for way, names in VIEWS.items() if way in chosen for name in names)


def embed_views(
    content: bytes,
    names: Sequence[str],
    runtime: Runtime,
    preprocessing: Preprocessing,
    limits: DecodeLimits,
    pixels: Pixels | None = None,
) -> Matrix:
    """(n, dim) float32, unit rows: the embeddings of the views ``names``. Raises ``ImageError`` as ``decode`` does.

    ``pixels``: the picture as the network takes it, where it was decoded already.
    """
    size, how = (preprocessing.height, preprocessing.width), (preprocessing.resample, preprocessing.fit)
    pictures: dict[str, Pixels] = {}
    if whole := [name for name in names if name not in _PLACES]:
        pixels = decode(content, size, limits, *how, preprocessing.resize_to) if pixels is None else pixels
        pictures |= {name: turned(pixels, name) for name in whole}
    if parts := [name for name in names if name in _PLACES]:
        large = round(size[0] / CROP), round(size[1] / CROP)
        resize_to = preprocessing.resize_to and max(*large, round(preprocessing.resize_to / CROP))
        larger = decode(content, large, limits, *how, resize_to)
        pictures |= {name: cropped(larger, name, size) for name in parts}
    return runtime(np.stack([pictures[name] for name in names]))


def turned(pixels: Pixels, name: str) -> Pixels:
    """(height, width, 3) pixels in a mirror, or turned by quarters and scaled to the same height and width."""
    if name == "mirror":
        return np.ascontiguousarray(pixels[:, ::-1])
    picture = np.ascontiguousarray(np.rot90(pixels, _TURNS[name]))
    if picture.shape != pixels.shape:
        size = pixels.shape[1], pixels.shape[0]
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    return picture


def cropped(pixels: Pixels, name: str, size: tuple[int, int]) -> Pixels:
    """The part of ``size`` (height, width) of larger pixels: in the middle or in a corner."""
    down, across = _PLACES[name]
    top, left = round(down * (pixels.shape[0] - size[0])), round(across * (pixels.shape[1] - size[1]))
    return np.ascontiguousarray(pixels[top : top + size[0], left : left + size[1]])
