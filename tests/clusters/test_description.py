import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.clusters import description as clusters
from imgsearch.clusters import kmeans
from imgsearch.vectors import unit


def fitted(n: int = 600, n_clusters: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, kmeans.Assignment]:
    rng = np.random.default_rng(seed)
    modes = rng.standard_normal((n_clusters, 12))
    rows = unit((modes[rng.integers(0, n_clusters, n)] + 0.3 * rng.standard_normal((n, 12))).astype(np.float32))
    centroids = kmeans.fit([rows], kmeans.seed(rows, n_clusters, rng)).centroids
    return rows, centroids, kmeans.assign(rows, centroids)


def test_the_medoid_has_the_greatest_dot_product_with_the_mean() -> None:
    rows, _, (cluster_ids, scores) = fitted()
    ids = np.array([f"{i:04}" for i in range(len(rows))])
    got = clusters.describe(cluster_ids, scores, ids, 6)
    for cluster in range(5):
        members = np.flatnonzero(cluster_ids == cluster)
        mean = rows[members].astype(np.float64).mean(axis=0)
        assert got.medoid[cluster] == members[(rows[members] @ mean).argmax()]
        assert got.size[cluster] == len(members)
        assert got.cohesion[cluster] == pytest.approx(np.linalg.norm(mean), abs=1e-5)
    assert got.size[5] == 0
    assert got.medoid[5] == -1
    assert np.isnan(got.cohesion[5])


def test_equal_scores_are_ordered_by_id() -> None:
    cluster_ids = np.zeros(4, np.int32)
    scores = np.array([0.5, 0.9, 0.9, 0.1], np.float32)
    ids = np.array(["a", "z", "b", "c"])
    assert clusters.describe(cluster_ids, scores, ids, 1).medoid.tolist() == [2]
    assert clusters.ranks(cluster_ids, scores, ids).tolist() == [3, 2, 1, 4]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40))
def test_ranks_count_from_one_in_each_cluster(members: list[tuple[int, int]]) -> None:
    cluster_ids = np.array([c for c, _ in members], np.int32)
    scores = np.array([s / 5 for _, s in members], np.float32)
    ids = np.arange(len(members))
    expected = [
        1 + sum(c == other and (-s, i) > (-t, j) for j, (other, t) in enumerate(members))
        for i, (c, s) in enumerate(members)
    ]
    assert clusters.ranks(cluster_ids, scores, ids).tolist() == expected


def test_planted_strangers_are_outliers_and_few_others_are() -> None:
    rows, centroids, _ = fitted(2000)
    strangers = unit(np.random.default_rng(9).standard_normal((40, 12)).astype(np.float32))
    everyone = np.concatenate([rows, strangers])
    cluster_ids, scores = kmeans.assign(everyone, centroids)
    marked = clusters.outliers(cluster_ids, scores, clusters.fences(cluster_ids, scores, 5))
    assert marked[2000:].mean() > 0.9
    assert marked[:2000].mean() < 0.05


def test_a_small_cluster_borrows_the_spread_of_large_ones() -> None:
    rng = np.random.default_rng(0)
    large = 0.9 - np.abs(0.02 * rng.standard_normal(500))
    small = np.array([0.95, 0.94, 0.94, 0.5])
    cluster_ids = np.repeat([0, 1], [500, 4]).astype(np.int32)
    scores = np.concatenate([large, small]).astype(np.float32)
    fence = clusters.fences(cluster_ids, scores, 3)
    assert 0.94 - fence[1] == pytest.approx(np.median(large) - fence[0], abs=1e-5)
    assert clusters.outliers(cluster_ids, scores, fence)[500:].tolist() == [False, False, False, True]
    assert np.isnan(fence[2])


def test_identical_members_are_no_outliers() -> None:
    cluster_ids, scores = np.zeros(30, np.int32), np.full(30, 1.0, np.float32)
    assert not clusters.outliers(cluster_ids, scores, clusters.fences(cluster_ids, scores, 1)).any()


def test_silhouette_and_rivals_against_a_loop() -> None:
    rows, centroids, (cluster_ids, _) = fitted(60)
    silhouettes = clusters.silhouette(rows, cluster_ids, centroids)
    second = clusters.rivals(rows, cluster_ids, centroids)
    for i, row in enumerate(rows):
        distances = 1 - centroids @ row
        others = [c for c in range(5) if c != cluster_ids[i]]
        b = min(others, key=lambda c: distances[c])
        assert second.cluster_ids[i] == b
        assert second.margins[i] == pytest.approx(distances[b] - distances[cluster_ids[i]], abs=1e-5)
        expected = (distances[b] - distances[cluster_ids[i]]) / max(distances[b], distances[cluster_ids[i]])
        assert silhouettes[i] == pytest.approx(expected, abs=1e-4)


def test_the_nearest_other_cluster() -> None:
    centroids = unit(np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 0.5, 1]], np.float32))
    nearest, cosine = clusters.nearest_clusters(centroids)
    assert nearest.tolist() == [1, 0, 1]
    assert cosine[0] == pytest.approx(centroids[0] @ centroids[1])
    alone, none = clusters.nearest_clusters(centroids[:1])
    assert alone.tolist() == [-1]
    assert np.isnan(none).all()
    with pytest.raises(ValueError, match="at least two"):
        clusters.rivals(centroids, np.zeros(3, np.int32), centroids[:1])


def test_renumbered_clusters_get_their_old_ids_back() -> None:
    rng = np.random.default_rng(1)
    old = rng.integers(0, 7, 500)
    shuffled = rng.permutation(7)
    got = clusters.match_clusters(old, shuffled[old], 7, 7)
    np.testing.assert_array_equal(got.new_ids[shuffled[old]], old)
    assert (got.splits, got.merges) == ([], [])


def test_splits_merges_and_new_clusters() -> None:
    old = np.repeat([0, 0, 1, 2, 3], [60, 40, 50, 50, 50])
    new = np.repeat([4, 1, 0, 0, 2], [60, 40, 50, 50, 50])  # 0 split into 4 and 1; 1 and 2 merged into 0; 3 became 2
    got = clusters.match_clusters(old, new, 4, 5)
    assert got.new_ids.tolist()[4] == 0
    assert got.new_ids.tolist()[2] == 3
    assert got.new_ids.tolist()[0] in (1, 2)
    fresh = got.new_ids.tolist()[1]
    assert fresh >= 4
    assert got.new_ids.tolist()[3] >= 4  # nothing in it
    assert len(set(got.new_ids.tolist())) == 5
    assert got.splits == [(0, [0, fresh])]
    assert got.merges == [(got.new_ids.tolist()[0], [1, 2])]


def test_matching_keeps_the_most_images() -> None:
    overlap = np.array([[5, 9], [0, 8]])
    old = np.repeat([0, 0, 1], [5, 9, 8])
    new = np.repeat([0, 1, 1], [5, 9, 8])
    got = clusters.match_clusters(old, new, 2, 2)
    assert got.new_ids.tolist() == [0, 1]
    assert got.overlap.tolist() == [overlap[0, 0], overlap[1, 1]]
