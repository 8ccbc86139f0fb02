"""Whether new images still fit the clusters: their scores and outliers, against those the clusters were made from.

A centroid is nearer to the images that made it than to others of the same kind: with m members, a new image is about
(m + 1) / (m − 1) times as far from the mean as a member is. So the fit's own level is corrected by that before anything
is compared with it; otherwise small clusters would look like drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MORE_OUTLIERS = 0.10
"""New images are a sign of drift when this much more of them are outliers than of the fit's images."""

FARTHER = 0.25
"""... or when their mean distance (1 − cosine) is greater by this share."""

SURE = 3.0
"""... and in either case by so many standard errors: ten odd images are not a drift."""


class Level(NamedTuple):
    """Of ``images`` images: ``outlier_share``, mean and standard ``deviation`` of the cosine to the own centroid."""

    images: int
    outlier_share: float
    mean_score: float
    deviation: float


class Drift(NamedTuple):
    """``outlier_change`` and ``score_change``: new minus expected. ``reason`` a re-fit is due, or ``None``."""

    outlier_change: float
    score_change: float
    reason: str | None


def stretch(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_clusters,): how many times as far from the centroid new images of the same kind are as the members.

    (m + 1) / (m − 1) for a cluster of m members; 3 for a cluster of one, as if it had two.

    >>> stretch(np.array([1, 2, 3, 11])).tolist()
    [3.0, 3.0, 2.0, 1.2]
    """
    members = np.maximum(sizes, 2)
    return np.asarray((members + 1) / (members - 1))


def together(levels: Iterable[Level]) -> Level:
    """The level of all their images. Raises ``ValueError`` for none."""
    rows = np.array(list(levels), np.float64).reshape(-1, 4)
    images = rows[:, 0].sum()
    if not images:
        raise ValueError("a level needs at least one image")
    share, mean = rows[:, 0] / images, (rows[:, 0] * rows[:, 2]).sum() / images
    variance = (share * (rows[:, 3] ** 2 + (rows[:, 2] - mean) ** 2)).sum()
    return Level(int(images), float((share * rows[:, 1]).sum()), float(mean), float(np.sqrt(variance)))


def drift(fit: Level, new: Level) -> Drift:
    """How ``new`` images differ from what the ``fit`` led to expect, and whether that calls for a re-fit."""
    outlier_change = new.outlier_share - fit.outlier_share
    score_change = new.mean_score - fit.mean_score
    share = np.clip(fit.outlier_share, 0.01, 0.99)
    outlier_error = np.sqrt(share * (1 - share) * (1 / new.images + 1 / fit.images))
    score_error = np.sqrt(new.deviation**2 / new.images + fit.deviation**2 / fit.images)
    reason = None
    if outlier_change > max(MORE_OUTLIERS, SURE * outlier_error):
        reason = f"{new.outlier_share:.0%} of the new images are outliers, {fit.outlier_share:.0%} were expected"
    elif -score_change > max(FARTHER * (1 - fit.mean_score), SURE * score_error):
        reason = f"new images are {-score_change / max(1 - fit.mean_score, 1e-9):.0%} farther from their clusters"
    elif new.images >= fit.images:
        reason = f"{new.images:,} images came since the clusters were made from {fit.images:,}"
    return Drift(outlier_change, score_change, reason)
