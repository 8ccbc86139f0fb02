"""Cross-validation by class on planted vectors: what gains is adopted, what harms unseen classes is declined."""

from __future__ import annotations

import numpy as np
import pytest
from support.planted import with_kinds, with_nuisance

from imgsearch.projections.adoption import class_folds, compare, image_folds, learn, leave_one_out, too_few
from imgsearch.vectors import unit


def unseen_gain(vectors: np.ndarray, classes: np.ndarray) -> float:
    """mAP of classes whose names the map does not get, minus plain: the named ones are the first half."""
    half = classes < classes.max() // 2
    matrix = learn(vectors[half], classes[half], 0.5)
    rows = np.flatnonzero(~half)
    after, before = (leave_one_out(v, classes, rows) for v in (unit(vectors @ matrix), vectors))
    return float(np.mean(after.average_precision) - np.mean(before.average_precision))


@pytest.mark.parametrize("seed", range(4))
def test_shared_nuisance_is_learned_and_adopted(seed: int) -> None:
    vectors, classes = with_nuisance(seed)
    comparison = compare(vectors, classes)
    assert unseen_gain(vectors, classes) > 0.3
    assert comparison.gain > 0.3
    assert comparison.is_adopted


@pytest.mark.parametrize("seed", range(4))
def test_broad_classes_are_harmed_and_declined(seed: int) -> None:
    vectors, classes = with_kinds(seed)
    comparison = compare(vectors, classes)
    assert unseen_gain(vectors, classes) < -0.01
    assert comparison.gain < -0.01
    assert not comparison.is_adopted


def test_a_class_is_measured_by_a_map_that_did_not_see_it() -> None:
    vectors, classes = with_nuisance(1)
    comparison = compare(vectors, classes)
    folds = class_folds(classes, 10)
    for c in (0, 7):
        rows, others = np.flatnonzero(classes == c), folds != folds[classes == c][0]
        assert not (others & (classes == c)).any()
        matrix = learn(vectors[others], classes[others], comparison.shrinkage)
        expected = leave_one_out(unit(vectors @ matrix), classes, rows)
        np.testing.assert_allclose(comparison.unseen.average_precision[rows], expected.average_precision)


def test_few_classes_have_to_gain_more_than_their_error() -> None:
    comparison = compare(*with_nuisance(0))
    doubtful = comparison._replace(error=comparison.gain + 0.01)
    assert doubtful.is_adopted
    assert not doubtful._replace(n_classes=9).is_adopted
    assert comparison._replace(n_classes=9).is_adopted


def test_a_lower_first_place_is_declined() -> None:
    comparison = compare(*with_nuisance(0))
    worse = comparison.unseen._replace(precision_at_1=comparison.plain.precision_at_1 - 0.01)
    assert not comparison._replace(unseen=worse).is_adopted


def test_folds_keep_classes_together_or_spread_them() -> None:
    classes = np.random.default_rng(0).permutation(np.repeat(np.arange(13), 7))
    folds = class_folds(classes, 5)
    assert all(len(set(folds[classes == c])) == 1 for c in range(13))
    assert set(folds) == set(range(5))
    assert len(set(class_folds(np.array([0, 0, 1, 2]), 10))) == 3
    assert all(len(set(image_folds(classes, 10)[classes == c])) == 7 for c in range(13))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], "0 named images in 0 classes"),
        ([2] * 9, "18 named images in 9 classes of two or more; it takes 20 images in 3 classes"),
        ([1] * 50, "0 named images in 0 classes"),
        ([30, 30, 1], "60 named images in 2 classes"),
        ([2] * 10, None),
        ([10, 8, 2], None),
    ],
)
def test_too_few_names(sizes: list[int], message: str | None) -> None:
    problem = too_few(np.repeat(np.arange(len(sizes)), sizes))
    assert problem is None if message is None else message in (problem or "")
