"""Regions: where the last feature map of a picture says that looking again is worth while.

Windows of the map are pooled as R-MAC pools them (Tolias, Sicre and Jégou, "Particular object retrieval with integral
max-pooling of CNN activations", ICLR 2016). There they are the descriptor; here they only choose: what a window holds
is seen by the network again, as a tile of the picture (docs/regions.md has both measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.graph_ends import GEM_P
from imgsearch.vectors import Matrix, unit

Maps = NDArray[np.float32]
Boxes = NDArray[np.float32]

#: Regions of an image, beside the whole.
N_REGIONS = 3
#: Side of a window, as a share of the picture's, and how many of them stand side by side, overlapping by half.
WINDOW, ACROSS = 0.5, 3
EVERYTHING = np.array([[0, 0, 1, 1]], np.float32)
FLAT = 1e-6  # a standard deviation that is rounding alone
COVERED = 0.5  # share of a cell from which max pooling looks at it


class Regions(NamedTuple):
    """The regions of n images. ``boxes``: (n, r, 4) float32, x, y, width, height as shares of the picture;
    ``embeddings``: (n, r, dim) float32, unit rows."""

    boxes: Boxes
    embeddings: NDArray[np.float32]


def windows(across: int = ACROSS) -> Boxes:
    """(across², 4) float32, x, y, width, height as shares: a square grid of windows, row by row.

    >>> windows(2).tolist()
    [[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 0.5, 0.5], [0.0, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]
    """
    starts = np.linspace(0, 1 - WINDOW, across)
    return np.array([(x, y, WINDOW, WINDOW) for y in starts for x in starts], np.float32)


def coverage(boxes: Boxes, height: int, width: int) -> NDArray[np.float32]:
    """(r, height x width) float32: the share of each cell of a grid, row by row, that lies in each of (r, 4) boxes."""
    down = _overlap(boxes[:, 1], boxes[:, 3], height)
    across = _overlap(boxes[:, 0], boxes[:, 2], width)
    return (down[:, :, None] * across[:, None, :]).reshape(len(boxes), height * width)


def _overlap(starts: NDArray[np.float32], lengths: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """(r, n): the share of each of ``n`` equal parts of 0..1 that lies in each interval."""
    edges = np.arange(n + 1) / n
    first, last = starts.astype(np.float64)[:, None], (starts.astype(np.float64) + lengths)[:, None]
    shared = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
    return np.asarray(np.clip(shared * n, 0, 1), np.float32)


def pool(maps: Maps, boxes: Boxes, pooling: str) -> NDArray[np.float32]:
    """(n, dim, height, width) maps → (n, r, dim) float32, unit rows: each of (r, 4) boxes pooled as ``pooling`` says.

    "avg" and "gem" weigh each cell by its share in the box, "max" looks at cells of which half lies in it (or, in a box
    smaller than that, at the one most covered). With "gem" the maps are raised to the power already. A box whose cells
    are all zero stays zero.
    """
    n, dim, height, width = maps.shape
    cells, weights = maps.reshape(n, dim, height * width), coverage(boxes, height, width)
    if pooling == "max":
        looked_at = weights >= np.minimum(COVERED, weights.max(axis=1, keepdims=True))
        pooled = np.stack([cells[:, :, some].max(axis=2) for some in looked_at], axis=1)
    else:
        weights /= weights.sum(axis=1, keepdims=True)
        pooled = (cells.reshape(n * dim, -1) @ weights.T).reshape(n, dim, -1).transpose(0, 2, 1)
        if pooling == "gem":
            pooled = np.maximum(pooled, 0) ** (1 / GEM_P)
    return unit(pooled.reshape(-1, dim)).reshape(n, len(boxes), dim)


def interest(maps: Maps, boxes: Boxes, pooling: str) -> NDArray[np.float32]:
    """(n, r) float32: how much each of (r, 4) boxes says beside the whole image, by (n, c, h, w) maps.

    What a box has more of activation (mean over its cells and all channels) than the other boxes of its image, minus
    what it has more of cosine to the whole image; each in standard deviations over the boxes. Activation alone looks at
    the largest thing, unlikeness alone at corners of the background; the two weigh the same.
    """
    n, _, height, width = maps.shape
    weights = coverage(boxes, height, width)
    activation = maps.sum(axis=1).reshape(n, -1) @ (weights / weights.sum(axis=1, keepdims=True)).T
    whole = pool(maps, EVERYTHING, pooling)[:, 0]
    return _standard(activation) - _standard(np.einsum("nrd,nd->nr", pool(maps, boxes, pooling), whole))


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows with mean 0 and standard deviation 1; a row of equal values is zero."""
    centred = values - values.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    rows: NDArray[np.float32] = np.where(deviation > FLAT, centred / np.maximum(deviation, FLAT), 0).astype(np.float32)
    return rows


def select(interests: NDArray[np.float32], n_regions: int) -> NDArray[np.int64]:
    """(n, n_regions) numbers of the boxes of most interest, most first; of equal ones the lower number."""
    return np.argsort(-interests, axis=1, kind="stable")[:, :n_regions]


def cut_tiles(details: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.uint8]:
    """(n * r, h, w, 3) uint8: of (n, height, width, 3) pixels the parts in (n, r, 4) boxes, which have one size."""
    height, width = details.shape[1:3]
    h, w = (max(1, round(float(boxes[0, 0, axis]) * side)) for axis, side in ((3, height), (2, width)))
    tiles = np.empty((*boxes.shape[:2], h, w, 3), np.uint8)
    for image, places in enumerate(boxes.tolist()):
        for number, (x, y, _, _) in enumerate(places):
            top, left = min(round(y * height), height - h), min(round(x * width), width - w)
            tiles[image, number] = details[image, top : top + h, left : left + w]
    return tiles.reshape(-1, h, w, 3)


def or_whole(whole: Matrix, regions: Regions) -> Regions:
    """``regions``, the whole image (n, dim) in the place of those without direction: every image has as many."""
    boxes, embeddings = regions.boxes.copy(), regions.embeddings.copy()
    empty = ~embeddings.any(axis=2)
    embeddings[empty] = np.broadcast_to(whole[:, None], embeddings.shape)[empty]
    boxes[empty] = EVERYTHING[0]
    return Regions(boxes, embeddings)


def placed(boxes: Boxes, frames: Sequence[tuple[float, ...]]) -> Boxes:
    """(n, r, 4) boxes, shares of what the network sees, as shares of the pictures; it sees ``frames`` of them."""
    within = np.array(frames, np.float32)[:, None]
    corners, sizes = within[..., :2], within[..., 2:]
    return np.concatenate([corners + boxes[..., :2] * sizes, boxes[..., 2:] * sizes], axis=2)


def joined(parts: Sequence[Regions | None]) -> Regions | None:
    """The regions of several batches as those of one; ``None`` where they have none."""
    some = [part for part in parts if part is not None]
    return Regions(*(np.concatenate(each) for each in zip(*some, strict=True))) if some else None
