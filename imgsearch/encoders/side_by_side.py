"""Two or three networks as one encoder: each gives its embedding of unit length, and they stand side by side.

The cosine of two such embeddings is the mean of the parts' cosines. An image is decoded once; a part that takes fewer
pixels gets them resized.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.vectors import Matrix, unit

Pixels = NDArray[np.uint8]
LENGTH = struct.Struct("<Q")


def pack_graphs(graphs: Sequence[bytes]) -> bytes:
    """Each graph after its length."""
    return b"".join(LENGTH.pack(len(graph)) + graph for graph in graphs)


def unpack_graphs(packed: bytes) -> list[bytes]:
    """What ``pack_graphs`` packed.

    >>> unpack_graphs(pack_graphs([b"one", b""]))
    [b'one', b'']
    """
    graphs, at = [], 0
    while at < len(packed):
        (length,) = LENGTH.unpack_from(packed, at)
        graphs.append(packed[at + LENGTH.size : at + LENGTH.size + length])
        at += LENGTH.size + length
    return graphs


def side_by_side(
    networks: Sequence[Callable[[Pixels], Matrix]], inputs: Sequence[Preprocessing]
) -> Callable[[Pixels], Matrix]:
    """``pixels`` uint8 (n, height, width, 3) → float32 (n, sum of the parts' dims), unit rows.

    ``inputs``: what each network takes. A part that answers with zeros leaves its columns zero.
    """
    share = np.float32(1 / np.sqrt(len(networks)))

    def run(pixels: Pixels) -> Matrix:
        answers = [unit(f(resized(pixels, p.height, p.width))) for f, p in zip(networks, inputs, strict=True)]
        return np.concatenate(answers, axis=1) * share

    return run


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """(n, height, width, 3) uint8: ``pixels`` as they are where they have that size, else resized (Pillow, bicubic)."""
    if pixels.shape[1:3] == (height, width):
        return pixels
    size = (width, height)
    return np.stack([np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BICUBIC)) for p in pixels])
