"""Two pictures laid over one another: do they agree, block by block?

The correlation of a block does not change with brightness and contrast, and the median over the blocks does not mind a
watermark. What is compared are the small grey copies of ``Features``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.geometry.features import Features

#: (2, 3): from the pixels of one picture, (x, y, 1), to those of the other.
Transform = NDArray[np.float64]
Grey = NDArray[np.float32]

#: Pixels of a block's side.
BLOCK = 12
#: A block whose contrast (standard deviation, grey levels) is less than this in both pictures says nothing.
FLAT = 2.0
_COVERED = 0.99


class Overlay(NamedTuple):
    """``agreement``: -1..1, the median correlation of the blocks; ``blocks``: how many had something to compare;
    ``share``: how much of the more covered picture the other covers."""

    agreement: float
    blocks: int
    share: float


NOTHING = Overlay(-1.0, 0, 0.0)


def best_whole(one: Features, other: Features) -> Overlay:
    """The best of the eight ways (turned, mirrored) to lay the whole of ``other`` over the whole of ``one``."""
    import cv2

    height, width = one.small.shape
    fixed = _centred(_blocks(one.small.astype(np.float32)))
    best = NOTHING
    for picture in (other.small, other.small[:, ::-1]):
        for turns in range(4):
            turned = np.ascontiguousarray(np.rot90(picture, turns))
            laid = cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
            best = max(best, _compared(fixed, _centred(_blocks(laid)), None, 1.0), key=lambda o: o.agreement)
    return best


def laid_over(one: Features, other: Features, transform: Transform) -> Overlay:
    """The two laid over one another by a transform between pictures of their ``size``, on the side covered more."""
    whole = np.vstack([transform, [0, 0, 1]])
    forth = _to_small(other) @ whole @ np.linalg.inv(_to_small(one))
    if abs(np.linalg.det(forth)) < 1e-4:
        return NOTHING
    pictures = one.small.astype(np.float32), other.small.astype(np.float32)
    there, back = _overlay(*pictures, forth[:2]), _overlay(*pictures[::-1], np.linalg.inv(forth)[:2])
    return there if there.share >= back.share else back


def n_textured(picture: Features) -> int:
    """Blocks of the small copy that have something to compare."""
    return int((_blocks(picture.small.astype(np.float32)).std(axis=1) >= FLAT).sum())


def _to_small(picture: Features) -> Transform:
    """(3, 3): from pixels of ``size`` to pixels of the small copy, both counted from the middle of the first."""
    (height, width), (rows, columns) = picture.size, picture.small.shape
    across, down = columns / width, rows / height
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def _overlay(one: Grey, other: Grey, transform: Transform) -> Overlay:
    """``other`` laid over ``one``; ``transform`` leads from the pixels of ``one`` to those of ``other``."""
    import cv2

    size, flags = one.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(other, transform, size, flags=flags)
    inside = cv2.warpAffine(np.ones_like(other), transform, size, flags=flags) > _COVERED
    covered = _blocks(inside).min(axis=1) > 0
    return _compared(_centred(_blocks(one)), _centred(_blocks(laid)), covered, float(inside.mean()))


def _compared(one: Grey, other: Grey, rows: NDArray[np.bool_] | None, share: float) -> Overlay:
    """Centred blocks (n, BLOCK²) of both; ``rows``: those that are covered, ``None`` for all."""
    deviations = one.std(axis=1), other.std(axis=1)
    used = np.maximum(*deviations) >= FLAT
    used = used if rows is None else used & rows
    if not used.any():
        return Overlay(-1.0, 0, share)
    products = (one * other).mean(axis=1)[used]
    # a block that is flat in one picture only does not agree
    scale = np.maximum(deviations[0] * deviations[1], FLAT**2 / 4)[used]
    return Overlay(float(np.median(products / scale)), int(used.sum()), share)


def _centred(blocks: Grey) -> Grey:
    return blocks - blocks.mean(axis=1, keepdims=True)


def _blocks(picture: NDArray[Any]) -> NDArray[Any]:
    """(n, BLOCK²): the picture cut into blocks; what is left at its edges is left out."""
    rows, columns = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
    cut = picture[: rows * BLOCK, : columns * BLOCK]
    return cut.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)
