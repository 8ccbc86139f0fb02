import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.labels.calibration import calibrate, labelled_pairs
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


def test_every_pair_is_scored_once():
    vectors = unit(np.random.default_rng(1).standard_normal((4100, 8)).astype(np.float32))
    labels = np.random.default_rng(2).integers(0, 7, 4100).astype(str)
    scores, same = labelled_pairs(vectors, labels)
    assert len(scores) == 4100 * 4099 // 2
    left, right = np.triu_indices(4100, 1)
    assert same.sum() == (labels[left] == labels[right]).sum()
    np.testing.assert_allclose(
        np.sort(scores)[[0, -1]], np.sort((vectors @ vectors.T)[left, right])[[0, -1]], atol=1e-6
    )


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
