"""The geometric check of a pair: is there one similarity (or mirrored one) that lays one picture over the other?

Descriptors are matched by their ratio (Lowe 2004), a similarity is fitted by RANSAC (Fischler and Bolles 1981), and its
inliers are counted: that much says "the same thing", as for boards, labels and façades. A *copy* is more: laid over one
another the two pictures agree block by block, which two photographs of one thing do not (``overlay``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.geometry.features import Features
from imgsearch.geometry.overlay import Overlay, Transform, best_whole, laid_over, n_textured

RATIO = 0.8
#: RANSAC: pixels that an inlier may be off, and tries.
REACH, TRIES = 3.0, 2_000
#: Inliers below which a similarity may be chance, and the check abstains from "the same thing".
FEW = 8
#: Scales between which one picture may be enlarged or reduced in the other.
SCALES = (0.2, 5.0)
#: Pixels within which keypoints are one place.
PLACE = 4
#: Blocks that have to have something to compare.
BLOCKS = 9
#: Agreement of a copy: where the whole of one lies over the whole of the other, and where a similarity was fitted.
WHOLE, PART = 0.7, 0.92
#: Share of one of the two pictures that has to be covered.
COVERED = 0.5


class Fit(NamedTuple):
    """``inliers``: places that agree on ``transform`` (pixels of both ``Features.size``); ``None``: there is none.
    ``is_mirrored``: it leads from the mirror image of the first picture."""

    inliers: int
    transform: Transform | None
    is_mirrored: bool


class Verdict(NamedTuple):
    """``is_copy``: ``None`` where both pictures are too plain to tell, or too little of them overlaps. ``inliers`` of
    the similarity, 0 where the whole pictures agree. ``overlay``: how they agree at the best of all placements."""

    is_copy: bool | None
    inliers: int
    overlay: Overlay


def check_copy(one: Features, other: Features) -> Verdict:
    """Whether two pictures are copies of one, edited or not: mirrored, turned, cropped, bordered, in other colours.

    First the whole pictures are laid over one another in the eight ways of a square. Where they disagree, a similarity
    is fitted, whose overlay has to agree more and to cover half of one of the two.
    """
    whole = best_whole(one, other)
    if whole.blocks >= BLOCKS and whole.agreement >= WHOLE:
        return Verdict(True, 0, whole)
    fit = fitted(one, other)
    if fit.transform is None or fit.inliers < FEW:
        is_plain = min(n_textured(one), n_textured(other)) < BLOCKS
        return Verdict(None if is_plain else False, fit.inliers, whole)
    part = laid_over(one.mirrored() if fit.is_mirrored else one, other, fit.transform)
    is_copy = part.blocks >= BLOCKS and part.agreement >= PART and part.share >= COVERED
    return Verdict(is_copy, fit.inliers, part)


def fitted(one: Features, other: Features) -> Fit:
    """The similarity with the most inliers from points of ``one`` (or of its mirror image) to those of ``other``."""
    plain = _similarity(one, other)
    mirror = _similarity(one.mirrored(), other)
    if mirror[0] > plain[0]:
        return Fit(*mirror, is_mirrored=True)
    return Fit(*plain, is_mirrored=False)


def _similarity(one: Features, other: Features) -> tuple[int, Transform | None]:
    import cv2

    left, right = ratio_matches(one.descriptors, other.descriptors)
    if len(left) < FEW:
        return 0, None
    cv2.setRNGSeed(0)  # the same pair has the same answer in every task
    points = one.points[left], other.points[right]
    transform, inside = cv2.estimateAffinePartial2D(
        *points, method=cv2.RANSAC, ransacReprojThreshold=REACH, maxIters=TRIES, confidence=0.99
    )
    if transform is None or not SCALES[0] <= np.hypot(*transform[:, 0]) <= SCALES[1]:
        return 0, None
    rows = inside.ravel().astype(bool)
    return min(_n_places(some[rows]) for some in points), transform


def _n_places(points: NDArray[np.float32]) -> int:
    """Distinct places among (n, 2) points: keypoints of several sizes lie in one, and one is the match of many."""
    return len(np.unique((points // PLACE).astype(np.int64), axis=0))


def ratio_matches(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of ``one`` (n, 128) and of ``other`` (m, 128) that match: the nearest is nearer than ``RATIO`` times the
    next."""
    if not len(one) or len(other) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left, right = one.astype(np.float32), other.astype(np.float32)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * (left @ right.T)
    nearest = np.argpartition(squares, 1, axis=1)[:, :2]
    near = np.take_along_axis(squares, nearest, 1)
    first, rows = near.argmin(axis=1), np.arange(len(left))
    is_match = near[rows, first] < RATIO**2 * near[rows, 1 - first]
    return rows[is_match], nearest[rows, first][is_match]
