"""Counted retrieval quality against the full ranking."""

import numpy as np
import pytest

from imgsearch.labels.tally import TOP, Tally
from imgsearch.topk.quality import retrieval
from imgsearch.vectors import unit


@pytest.mark.parametrize("n_parts", [1, 4])
def test_counts_say_what_the_full_ranking_says(n_parts):
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 12, 3000)
    vectors = unit((rng.standard_normal((12, 20))[classes] + rng.standard_normal((3000, 20))).astype(np.float32))
    rows = np.arange(0, 3000, 60)
    exact = retrieval(vectors, classes, (1, 5, 10), rows=rows)
    whole = Tally.empty(len(rows))
    for part in np.array_split(rng.permutation(3000), n_parts):
        tally = Tally.empty(len(rows))
        tally.look_at(vectors[rows], rows, classes[rows], vectors[part], part, classes[part])
        whole = whole.merge(Tally.from_bytes(tally.to_bytes()))
    quality = whole.quality()
    assert (quality.n_relevant == np.bincount(classes)[classes[rows]] - 1).all()
    for place, cut in enumerate((1, 5, 10)):
        np.testing.assert_array_equal(quality.relevant[:, :cut].mean(axis=1), exact.precision_at_k[:, place])
    np.testing.assert_allclose(quality.ap, exact.average_precision, atol=2e-3)
    assert abs(quality.ap.mean() - exact.average_precision.mean()) < 2e-4
    assert (quality.ap_low <= exact.average_precision + 1e-9).all()
    assert (quality.ap_high >= exact.average_precision - 1e-9).all()


def test_equal_scores_go_by_key_and_nobody_finds_itself():
    vectors = np.zeros((30, 4), np.float32)
    vectors[:, 0] = 1
    keys = np.random.default_rng(1).permutation(30)
    tally = Tally.empty(1)
    tally.look_at(vectors[:1], np.array([3]), np.array([0]), vectors, keys, keys % 2)
    expected = [k for k in range(12) if k != 3][:TOP]
    assert tally.keys[0].tolist() == expected
    assert tally.is_relevant[0].tolist() == [k % 2 == 0 for k in expected]
    assert tally.all.sum() == 29


def test_a_query_that_nothing_is_relevant_to_has_no_precision():
    tally = Tally.empty(1)
    tally.look_at(np.eye(1, 4, dtype=np.float32), np.array([-1]), np.array([9]), np.eye(4, dtype=np.float32), np.arange(4), np.arange(4))  # noqa: E501  # fmt: skip
    quality = tally.quality()
    assert quality.n_relevant[0] == 0
    assert quality.ap[0] == 0


def test_what_comes_first_is_first_whatever_it_scores():
    vectors = np.eye(6, dtype=np.float32)
    tally = Tally.empty(2)
    keys, classes = np.arange(6), np.array([0, 1, 0, 1, 0, 1])
    tally.look_at(vectors[:2], np.array([0, 1]), classes[:2], vectors, keys, classes, np.array([4, -1]))
    assert tally.keys[0, :2].tolist() == [4, 1]
    assert tally.keys[1, 0] == 0
    assert tally.quality().ap_high[0] == 1.0
