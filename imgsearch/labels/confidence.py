"""What a raw confidence is worth: how often votes of that confidence are right, learned from held-out names.

Each name that a person gave is voted on without itself, and isotonic regression (scikit-learn's; Zadrozny and Elkan,
"Transforming classifier scores into accurate multiclass probability estimates", 2002) turns the vote's raw confidence
into a share of right answers. How good that is, is said by the expected calibration error (Naeini et al., "Obtaining
well calibrated probabilities using Bayesian binning", 2015) of names that took no part in the regression.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imgsearch.labels.calibration import lowest_cut

#: Held-out names below which confidence stays the raw share.
LEAST_NAMES = 50
BINS = 10
FOLDS = 10

Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """Confidence as a function of raw confidence: straight between the points ``raw`` (p,), ascending, and ``right``
    (p,), ascending; level outside."""

    raw: Floats
    right: Floats

    def of(self, raw: ArrayLike) -> NDArray[np.float32]:
        """(n,) float32 confidence of ``raw`` (n,)."""
        return np.interp(np.asarray(raw, np.float64), self.raw, self.right).astype(np.float32)


class Reliability(NamedTuple):
    """For each of ``BINS`` equal steps of confidence that has names: which (from 1), how many names, their mean
    confidence, and the share of them that were right."""

    bins: NDArray[np.int64]
    names: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: mean of |accuracy − confidence|, weighted by names; NaN for no names."""
        n = self.names.sum()
        return float((self.names * np.abs(self.accuracy - self.confidence)).sum() / n) if n else float("nan")


def learn(raw: ArrayLike, right: ArrayLike) -> Curve:
    """The curve of names (n,) with a raw confidence, and whether the vote about them was right.

    Two names more, one right and one wrong, stand at the greatest raw confidence: so nothing is certain because a few
    names happened to be right. Raises ``ValueError`` for no names.
    """
    from sklearn.isotonic import IsotonicRegression  # executors have no scikit-learn

    raw, right = np.asarray(raw, np.float64), np.asarray(right, np.float64)
    if not len(raw) or len(raw) != len(right):
        raise ValueError(f"{len(raw)} confidences with {len(right)} answers")
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    model.fit(np.append(raw, [raw.max()] * 2), np.append(right, [0.0, 1.0]))
    return Curve(model.X_thresholds_, model.y_thresholds_)


def cross_validated(raw: ArrayLike, right: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
    """(n,) confidence of each name by the curve of the names of other folds. Raises ``ValueError`` under two names."""
    raw, right = np.asarray(raw, np.float64), np.asarray(right, np.float64)
    if len(raw) < 2:
        raise ValueError(f"{len(raw)} names make no folds")
    fold = np.random.default_rng(seed).permutation(len(raw)) % min(FOLDS, len(raw))
    confidence = np.zeros(len(raw), np.float32)
    for each in np.unique(fold):
        confidence[fold == each] = learn(raw[fold != each], right[fold != each]).of(raw[fold == each])
    return confidence


def reliability(confidence: ArrayLike, right: ArrayLike) -> Reliability:
    """The reliability table of names (n,) with a confidence, 0..1, and whether they were right.

    >>> table = reliability([0.95, 0.95, 0.25], [True, False, False])
    >>> table.bins.tolist(), table.names.tolist(), table.accuracy.tolist(), round(table.ece, 3)
    ([3, 10], [1, 2], [0.0, 0.5], 0.383)
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    step = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    names = np.bincount(step, minlength=BINS)
    used = np.flatnonzero(names)
    sums = (np.bincount(step, values, BINS)[used] / names[used] for values in (confidence, right))
    return Reliability(used + 1, names[used], *sums)


def threshold_for(confidence: ArrayLike, images: ArrayLike, precision: float) -> float | None:
    """The least confidence such that of all images with that much or more ``precision`` are expected to be right.

    ``confidence`` (n,) values, and how many ``images`` (n,) have each. ``None`` where even the surest are too few.

    >>> threshold_for([0.5, 0.9, 1.0], [1, 2, 1], 0.93), threshold_for([0.5, 0.9], [1, 2], 0.95)
    (0.9, None)
    """
    confidence, images = np.asarray(confidence, np.float64), np.asarray(images, np.float64)
    cut = lowest_cut(confidence, images, confidence * images, precision)
    return None if cut is None else cut.threshold
