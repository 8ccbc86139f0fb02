"""Whether a learned projection is adopted: cross-validation by class, against the plain projection.

Each fold's classes are unseen by the map that is measured on them: it is fitted on the classes of the other folds. The
figures of seen classes come from folds of images. Retrieval is leave one out among the named images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.projections.wccn import normalising_map, within_class_covariance
from imgsearch.topk.quality import retrieval
from imgsearch.vectors import Ids, Matrix, unit

MIN_IMAGES, MIN_CLASSES = 20, 3
"""Names below which nothing is learned: twenty images (two each of ten classes, say), in three classes or more."""
FEW_CLASSES = 10
"""Below this many classes a gain counts only above its standard error over the classes."""
SHRINKAGES = (0.7, 0.5)
"""What is tried. Of 5 % and 20 % of two sets' images (five draws each), 0.5 to 0.8 raised unseen classes' mAP within
.015 of each other; below 0.3 the gain on unseen classes falls. So the range is short, and cross-validation chooses."""
FOLDS = 10

Values = NDArray[np.float64]


class Quality(NamedTuple):
    """Per image, NaN where no other image has its class: ``average_precision``, ``precision_at_1`` (n,) float64."""

    average_precision: Values
    precision_at_1: Values


class Comparison(NamedTuple):
    """Plain and learned vectors, by images of classes that the map did not see, and of classes that it saw.

    ``shrinkage`` is the one of ``SHRINKAGES`` with the greatest mAP on unseen classes. ``error``: standard error of
    that gain over the classes.
    """

    shrinkage: float
    plain: Quality
    unseen: Quality
    seen: Quality
    error: float
    n_classes: int

    @property
    def gain(self) -> float:
        """How much higher mAP is on unseen classes."""
        return float(np.nanmean(self.unseen.average_precision - self.plain.average_precision))

    @property
    def gain_at_1(self) -> float:
        """How much higher precision@1 is on unseen classes."""
        return float(np.nanmean(self.unseen.precision_at_1 - self.plain.precision_at_1))

    @property
    def is_adopted(self) -> bool:
        """Unseen classes gain mAP and do not lose precision@1; of few classes, by more than the standard error."""
        least = self.error if self.n_classes < FEW_CLASSES else 0.0
        return self.gain > least and self.gain_at_1 >= 0


def too_few(classes: Ids) -> str | None:
    """What is missing for a projection to be learned from images of these classes (n,), or ``None``."""
    n_of = np.bincount(classes, minlength=1)
    n_images, n_classes = int(n_of[n_of > 1].sum()), int((n_of > 1).sum())
    if n_images >= MIN_IMAGES and n_classes >= MIN_CLASSES:
        return None
    return (
        f"{n_images} named images in {n_classes} classes of two or more; it takes {MIN_IMAGES} images in "
        f"{MIN_CLASSES} classes, better two each of ten classes"
    )


def compare(vectors: Matrix, classes: Ids) -> Comparison:
    """Cross-validate on named unit vectors (n, d) with class numbers (n,) from 0: ``too_few`` is ``None`` for them."""
    plain = leave_one_out(vectors, classes, np.arange(len(classes)))
    by_class, by_image = class_folds(classes, FOLDS), image_folds(classes, FOLDS)
    trials = [(s, _validated(vectors, classes, by_class, s)) for s in SHRINKAGES]
    shrinkage, unseen = max(trials, key=lambda trial: np.nanmean(trial[1].average_precision))
    seen = _validated(vectors, classes, by_image, shrinkage)
    gains = unseen.average_precision - plain.average_precision
    means = np.array([gains[classes == c].mean() for c in np.unique(classes[~np.isnan(gains)])])
    error = float(means.std(ddof=1) / np.sqrt(len(means)))
    return Comparison(shrinkage, plain, unseen, seen, error, len(means))


def learn(vectors: Matrix, classes: Ids, shrinkage: float) -> Matrix:
    """The map (d, d) float32 of all named vectors (n, d), to be multiplied from the right."""
    return normalising_map(within_class_covariance(vectors, classes), shrinkage)


def leave_one_out(vectors: Matrix, classes: Ids, rows: Ids) -> Quality:
    """The images ``rows`` (m,) ask all others of (n, d) unit vectors; average precision is over all relevant images."""
    ranked = retrieval(vectors, classes, (1,), rows=rows)
    return Quality(ranked.average_precision, ranked.precision_at_k[:, 0])


def class_folds(classes: Ids, n_folds: int) -> Ids:
    """(n,) the fold of each image, all images of a class in one; every fold has a class, chosen by a fixed seed."""
    n_classes = int(classes.max()) + 1
    return (np.random.default_rng(0).permutation(n_classes) % min(n_folds, n_classes))[classes]


def image_folds(classes: Ids, n_folds: int) -> Ids:
    """(n,) the fold of each image, the images of a class spread over all folds."""
    order = np.argsort(classes, kind="stable")
    folds = np.empty(len(classes), np.int64)
    folds[order] = np.arange(len(classes)) % n_folds
    return folds


def _validated(vectors: Matrix, classes: Ids, folds: Ids, shrinkage: float) -> Quality:
    """Each image asks in the space of the map that was fitted without its fold."""
    result = Quality(np.full(len(classes), np.nan), np.full(len(classes), np.nan))
    for fold in np.unique(folds):
        rows, others = np.flatnonzero(folds == fold), folds != fold
        matrix = learn(vectors[others], classes[others], shrinkage)
        for values, part in zip(result, leave_one_out(unit(vectors @ matrix), classes, rows), strict=True):
            values[rows] = part
    return result
