"""The map: every image at a place where what is alike lies close together. Pure functions on arrays.

A sample is arranged by t-SNE; everything else, and whatever comes later, is placed among it, so that the map that
people know stays as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.report.tsne import tsne_map
from imgsearch.topk.topk import top_k
from imgsearch.vectors import Matrix

ANCHORS = 3_000
NEIGHBOURS = 5
SHARPNESS = 50.0
_BLOCK = 10_000

Places = NDArray[np.float32]


class Layout(NamedTuple):
    """``xy`` (n, 2) float32, and ``is_anchor`` (n,): whether t-SNE itself arranged the row."""

    xy: Places
    is_anchor: NDArray[np.bool_]


def arrange(vectors: Matrix, n_anchors: int = ANCHORS, seed: int = 0) -> Layout:
    """Places of ``vectors`` (n, dim), unit rows: ``n_anchors`` of them by t-SNE, the others among these."""
    anchor_xy, rows = tsne_map(vectors, seed, n_anchors)
    xy = np.zeros((len(vectors), 2), np.float32)
    is_anchor = np.zeros(len(vectors), bool)
    xy[rows], is_anchor[rows] = anchor_xy, True
    xy[~is_anchor] = place(vectors[~is_anchor], vectors[rows], anchor_xy)
    return Layout(xy, is_anchor)


def place(vectors: Matrix, anchors: Matrix, anchor_xy: Places) -> Places:
    """(n, 2) places of new rows: the mean of their nearest anchors' places, weighed by exp(50 · cosine).

    ``vectors``: (n, dim), ``anchors``: (m, dim), unit rows; ``anchor_xy``: (m, 2). A row that is an anchor lies on it,
    but for anchors that are nearly the same.
    """
    xy = np.zeros((len(vectors), 2), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        ids, scores = top_k(vectors[start : start + _BLOCK], anchors, min(NEIGHBOURS, len(anchors)))
        weights = np.exp(SHARPNESS * (scores - scores[:, :1]))
        weights /= weights.sum(axis=1, keepdims=True)
        xy[start : start + _BLOCK] = np.einsum("nk,nkd->nd", weights, anchor_xy[ids])
    return xy


def shown_rows(n: int, at_most: int, seed: int = 0) -> NDArray[np.int64]:
    """(m,) rows of ``n`` that are drawn, ascending: all, or a sample of ``at_most``."""
    if n <= at_most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, at_most, replace=False))
