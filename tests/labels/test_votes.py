import numpy as np
import pytest

from imgsearch.labels.votes import ORIGINS, Named, spread, vote
from imgsearch.vectors import unit


def vectors(*angles: float) -> np.ndarray:
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


NOBODY = Named(np.empty((0, 2), np.float32), np.empty(0, np.int32), np.empty(0, np.int64))


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_the_vote_before_the_clusters_name() -> None:
    named = Named(vectors(0, 10), ints(0, 0), ints(5, 5))
    got = spread(vectors(2, 4, 6), ints(0, 1, 2), named, {0: 9, 1: 9})
    assert got.labels.tolist() == [5, 9, -1]
    assert [ORIGINS[origin] for origin in got.origins] == ["vote", "cluster", "none"]
    np.testing.assert_allclose(got.confidence, [np.cos(np.radians(2)), 1, 0], atol=1e-6)


def test_only_named_images_of_the_same_cluster_vote() -> None:
    named = Named(vectors(1, 40), ints(1, 0), ints(3, 4))
    got = spread(vectors(0), ints(0), named, {})
    assert got.labels.tolist() == [4]


def test_an_unsure_vote_falls_back_to_the_clusters_name_or_abstains() -> None:
    named = Named(vectors(10, -10), ints(0, 0), ints(1, 2))
    args = (vectors(0), ints(0), named)
    assert spread(*args, {}).labels.tolist() == [-1]
    got = spread(*args, {0: 2})
    assert got.labels.tolist() == [2]
    assert ORIGINS[got.origins[0]] == "cluster"
    assert got.confidence[0] == pytest.approx(2 / 3)
    assert spread(*args, {0: 7}).labels.tolist() == [-1]  # two people's names against the cluster's


def test_an_outlier_does_not_take_the_clusters_name() -> None:
    got = spread(vectors(0, 5), ints(0, 0), NOBODY, {0: 3}, outlier=np.array([False, True]))
    assert got.labels.tolist() == [3, -1]


def test_one_distant_image_makes_no_sure_vote() -> None:
    named = Named(vectors(90, 55), ints(0, 0), ints(1, 2))
    assert spread(vectors(0), ints(0), named, {}).labels.tolist() == [-1]
    got = spread(vectors(0), ints(0), named, {}, min_confidence=0.5)
    assert got.labels.tolist() == [2]
    assert got.confidence[0] == pytest.approx(np.cos(np.radians(55)), abs=1e-5)


def test_a_clusters_name_is_as_sure_as_the_image_is_near() -> None:
    got = spread(vectors(0, 5), ints(0, 0), NOBODY, {0: 3}, scores=np.array([0.9, 0.4], np.float32))
    assert got.labels.tolist() == [3, 3]
    np.testing.assert_allclose(got.confidence, [0.9, 0.4], atol=1e-6)


def test_the_vote_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    queries, peers = unit(rng.standard_normal((50, 6))), unit(rng.standard_normal((30, 6)))
    labels = rng.integers(0, 4, 30)
    scores = queries @ peers.T
    winner, confidence = vote(scores, labels, top_k=7, sharpness=3)
    for i in range(50):
        best = sorted(range(30), key=lambda j: -scores[i, j])[:7]
        weight = dict.fromkeys(range(4), 0.0)
        for j in best:
            weight[labels[j]] += max(float(scores[i, j]), 0) ** 3
        if sum(weight.values()) == 0:
            assert winner[i] == -1
        else:
            expected = max(weight, key=lambda label: weight[label])
            nearest = max(float(scores[i, j]) for j in best if labels[j] == expected)
            assert winner[i] == expected
            assert confidence[i] == pytest.approx(weight[expected] / sum(weight.values()) * nearest, abs=1e-6)


def test_rows_fall_into_batches_as_they_like() -> None:
    rng = np.random.default_rng(1)
    rows, cluster_ids = unit(rng.standard_normal((80, 5))), rng.integers(0, 4, 80)
    named = Named(rows[:12], cluster_ids[:12], rng.integers(0, 3, 12))
    names = {0: 0, 2: 2, 3: 1}
    whole = spread(rows, cluster_ids, named, names)
    parts = [spread(rows[i : i + 9], cluster_ids[i : i + 9], named, names) for i in range(0, 80, 9)]
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), whole.labels)
    np.testing.assert_array_equal(np.concatenate([part.origins for part in parts]), whole.origins)


def test_arrays_must_agree() -> None:
    with pytest.raises(ValueError, match="1 vectors"):
        spread(vectors(0), ints(0, 1), NOBODY, {})
    with pytest.raises(ValueError, match="negative"):
        spread(vectors(0), ints(0), Named(vectors(0), ints(0), ints(-1)), {})
