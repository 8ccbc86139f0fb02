import numpy as np
import pytest

from imgsearch.duplicates.leaders import Leaders, near_clusters
from imgsearch.vectors import unit


def around(centres, each, spread, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.repeat(centres, each, axis=0)
    return unit((rows + spread * rng.standard_normal(rows.shape)).astype(np.float32))


def drawn(n, dim, seed):
    return unit(np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32))


@pytest.mark.parametrize("most", [20_000, 30])
def test_every_row_reaches_the_threshold_with_its_leader(most):
    vectors = around(drawn(60, 24, 1), 40, 0.06)[np.random.default_rng(2).permutation(2400)]
    ids = np.random.default_rng(3).permutation(10_000)[:2400].astype(np.int64)
    leaders = Leaders(0.9, 24, most)
    parts = [leaders.add(vectors[i : i + 500], ids[i : i + 500]) for i in range(0, 2400, 500)]
    led, scores = (np.concatenate([p[j] for p in parts]) for j in (0, 1))
    row_of = {int(name): row for row, name in enumerate(ids)}
    own = np.array([row_of[int(leader)] for leader in led])
    true = np.einsum("nd,nd->n", vectors, vectors[own])
    np.testing.assert_allclose(scores, true, atol=1e-5)
    assert true.min() >= 0.9 - 1e-6
    assert (led[own] == led).all()  # a leader leads itself: no chains
    if most == 20_000:
        chosen = vectors[np.unique(own)]
        others = chosen @ chosen.T - 2 * np.eye(len(chosen))
        assert others.max() < 0.9  # no leader could have followed another


def test_a_crowd_is_one_leader_and_takes_no_pairs():
    vectors = around(drawn(1, 32, 5), 10_000, 0.005)
    led = Leaders(0.95, 32).add(vectors, np.arange(10_000))
    assert len(np.unique(led.leaders)) == 1


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.95])
def test_no_near_pair_lies_beyond_the_near_clusters(threshold):
    centroids = drawn(20, 12, 7)
    vectors = around(drawn(150, 12, 8), 6, 0.12)
    own = np.argmax(vectors @ centroids.T, axis=1)
    near = near_clusters(vectors, centroids, threshold)
    left, right = np.nonzero(np.triu(vectors @ vectors.T >= threshold, 1))
    assert len(left) > 50
    assert near[left, own[right]].all()
    assert near[right, own[left]].all()
    assert (own[left] != own[right]).any()
    if threshold == 0.95:
        assert near.mean() < 0.6
