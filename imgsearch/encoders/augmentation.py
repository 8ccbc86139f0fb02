"""A query seen in several ways: its embedding as the mean over mirrored or turned copies of its pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.runtime import Runtime
from imgsearch.images.decode import DecodeLimits, decode
from imgsearch.vectors import Matrix, unit


def variants(pixels: NDArray[np.uint8], ways: Iterable[str]) -> NDArray[np.uint8]:
    """(n, side, side, 3): the picture; with ``flip`` mirrored too; with ``rotate`` each of those at four quarter turns.

    ``pixels``: (side, side, 3) uint8. Raises ``ValueError`` for another way, or for turning what is not square.
    """
    names = set(ways)
    if unknown := names - {"flip", "rotate"}:
        raise ValueError(f"no such augmentation: {sorted(unknown)}")
    if "rotate" in names and pixels.shape[0] != pixels.shape[1]:
        raise ValueError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} cannot be turned: its sides differ")
    pictures = [pixels]
    if "flip" in names:
        pictures.append(pixels[:, ::-1])
    if "rotate" in names:
        pictures = [np.rot90(one, turns) for one in pictures for turns in range(4)]
    return np.ascontiguousarray(np.stack(pictures))


def embed_variants(
    content: bytes, ways: Iterable[str], runtime: Runtime, preprocessing: Preprocessing, limits: DecodeLimits
) -> Matrix:
    """(dim,) float32, unit length: the mean of the variants' embeddings. Raises ``ImageError`` as ``decode`` does."""
    size = (preprocessing.height, preprocessing.width)
    pixels = decode(content, size, limits, preprocessing.resample, preprocessing.fit, preprocessing.resize_to)
    rows: Matrix = unit(runtime(variants(pixels, ways)).mean(axis=0, keepdims=True))[0]
    return rows
