import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.labels.calibration import calibrate, check_on_others, first_matches
from imgsearch.retrieval.expansion import expand, expand_each
from imgsearch.vectors import unit


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40),
    st.sampled_from([0.5, 0.75, 0.9, 1.0]),
)
def test_no_lower_threshold_has_the_precision(pairs, wanted):
    scores = np.array([s for s, _ in pairs], np.float32) / 12
    matching = np.array([m for _, m in pairs])
    shares = {t: matching[scores >= t].mean() for t in sorted(set(scores.tolist()))}
    good = [t for t, share in shares.items() if share >= wanted]
    found = calibrate(scores, matching, wanted)
    if not good or not matching.any():
        assert found is None
    else:
        assert found is not None
        assert found.threshold == pytest.approx(min(good))
        assert found.precision == pytest.approx(shares[min(good)])
        assert found.recall == pytest.approx(matching[scores >= min(good)].sum() / matching.sum())


@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 9))
def test_each_row_has_its_best_other_row(n, n_labels, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((n, 8)).astype(np.float32))
    labels = rng.integers(0, n_labels, n).astype(str)
    scores, same = first_matches(vectors, labels)
    all_scores = vectors @ vectors.T
    np.fill_diagonal(all_scores, -np.inf)
    best = all_scores.argmax(axis=1)
    np.testing.assert_allclose(scores, all_scores.max(axis=1), atol=1e-5)
    np.testing.assert_array_equal(same, labels[best] == labels)


def test_one_row_has_no_match():
    assert [len(part) for part in first_matches(np.ones((1, 4), np.float32) / 2, np.array(["a"]))] == [0, 0]


def test_a_check_is_on_things_that_were_not_learned_from():
    """Nine things have right matches from 0.5 on. The matches of a tenth are wrong up to 0.9; no other shows it."""
    things = np.repeat([f"thing {i}" for i in range(10)], 50)
    scores = np.tile(np.linspace(0.5, 0.9, 50, dtype=np.float32), 10)
    matching = things != "thing 3"
    calibration = calibrate(scores, matching, 0.95)
    assert calibration is None, "with the tenth no threshold is good enough"
    check = check_on_others(scores, matching, things, 0.95)
    # the fold of the tenth is answered with the threshold of eight good things: half of its answers are wrong
    assert (check.precision, check.answered, check.n_groups) == (0.5, 0.2, 10)
    assert check.spread == 0  # no other fold finds a threshold


def test_a_check_takes_two_things():
    scores, matching = np.float32([0.9, 0.8]), np.array([True, True])
    assert check_on_others(scores, matching, np.array(["a", "a"]), 0.9) is None
    assert check_on_others(scores, matching, np.array(["a", "b"]), 0.9)[:3] == (1.0, 0.0, 0.5)


def test_expansion_moves_a_query_towards_what_it_found():
    query = np.array([[1, 0, 0]], np.float32)
    near, far = unit(np.array([[1, 1, 0]], np.float32)), np.array([[0, 0, 1]], np.float32)
    moved = expand(query, np.stack([near, far], axis=1), np.array([[0.7, -0.2]], np.float32))
    assert moved[0, 1] > 0
    assert moved[0, 2] == 0
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(
        expand(query, np.zeros((1, 2, 3), np.float32), np.full((1, 2), -np.inf, np.float32)), query
    )


def test_each_row_is_expanded_with_its_nearest_others():
    rng = np.random.default_rng(3)
    vectors = unit(rng.standard_normal((60, 8)).astype(np.float32))
    got = expand_each(vectors, 3)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    for i in range(60):
        best = np.argsort(-scores[i])[:3]
        wanted = vectors[i] + (np.clip(scores[i][best], 0, None)[:, None] ** 3 * vectors[best]).sum(axis=0)
        assert got[i] == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)
    with pytest.raises(ValueError, match="60 neighbours among 60"):
        expand_each(vectors, 60)
