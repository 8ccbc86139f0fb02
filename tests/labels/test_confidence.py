"""Confidence learned from held-out names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.labels.confidence import BINS, cross_validated, learn, reliability, threshold_for

ANSWERS = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60)


def ece_by_loop(confidence: list[float], right: list[bool]) -> float:
    total = 0.0
    for step in range(BINS):
        inside = [i for i, p in enumerate(confidence) if min(int(p * BINS), BINS - 1) == step]
        if inside:
            total += abs(sum(confidence[i] for i in inside) - sum(right[i] for i in inside))
    return total / len(confidence)


@given(ANSWERS)
def test_the_table_counts_every_name_once(answers: list[tuple[float, bool]]) -> None:
    confidence, right = [a[0] for a in answers], [a[1] for a in answers]
    table = reliability(confidence, right)
    assert table.names.sum() == len(answers)
    assert (table.names * table.accuracy).sum() == pytest.approx(sum(right))
    assert table.ece == pytest.approx(ece_by_loop(confidence, right), abs=1e-9)
    assert np.isnan(reliability([], []).ece)


@given(ANSWERS)
def test_the_curve_rises_and_is_never_certain(answers: list[tuple[float, bool]]) -> None:
    raw, right = [a[0] for a in answers], [a[1] for a in answers]
    curve = learn(raw, right)
    confidence = curve.of(np.linspace(0, 1, 50))
    assert (np.diff(confidence) >= -1e-6).all()
    assert confidence.min() >= 0
    assert confidence.max() < 1
    # isotonic regression keeps the mean: of all names and the two at the top
    mean = (curve.of(raw).sum() + 2 * curve.of([max(raw)])[0]) / (len(raw) + 2)
    assert mean == pytest.approx((sum(right) + 1) / (len(raw) + 2), abs=1e-5)


def test_a_known_curve_is_learned() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random(4000)
    right = rng.random(4000) < raw**2  # a vote of 0.5 is right in a quarter of the cases
    curve = learn(raw, right)
    grid = np.linspace(0, 1, 101)
    assert np.abs(curve.of(grid) - grid**2).mean() < 0.03
    assert reliability(raw, right).ece > 0.12
    assert reliability(cross_validated(raw, right), right).ece < 0.03


def test_no_name_is_judged_by_itself() -> None:
    """Coin tosses: a curve that saw them would look right about them."""
    rng = np.random.default_rng(1)
    raw, right = rng.random(60), rng.random(60) < 0.5
    again = cross_validated(raw, right)
    changed = right.copy()
    changed[7] = ~changed[7]
    assert cross_validated(raw, changed)[7] == again[7]
    with pytest.raises(ValueError, match="make no folds"):
        cross_validated([0.5], [True])
    with pytest.raises(ValueError, match="0 confidences"):
        learn([], [])


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50)), min_size=1, max_size=20, unique_by=lambda v: v[0]),
    st.floats(0.05, 1),
)
def test_the_threshold_is_the_least_that_reaches_the_precision(values: list[tuple[int, int]], precision: float) -> None:
    confidence, images = np.array([v[0] / 100 for v in values]), np.array([v[1] for v in values])

    def expected(threshold: float) -> float:
        some = confidence >= threshold
        return float((confidence[some] * images[some]).sum() / images[some].sum())

    good = [t for t in confidence if expected(t) >= precision - 1e-9]
    got = threshold_for(confidence, images, precision)
    if got is None:
        assert all(expected(t) < precision + 1e-9 for t in confidence)
    else:
        assert expected(got) >= precision - 1e-9
        assert got <= min(good) + 1e-9 or expected(min(good)) <= precision + 1e-9
