import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import cluster_oracle as oracle

from imgsearch.clusters import description as clusters
from imgsearch.clusters import kmeans
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.vectors import unit


def fitted(n: int = 600, n_clusters: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, kmeans.Assignment]:
    rng = np.random.default_rng(seed)
    modes = rng.standard_normal((n_clusters, 12))
    rows = unit((modes[rng.integers(0, n_clusters, n)] + 0.3 * rng.standard_normal((n, 12))).astype(np.float32))
    centroids = kmeans.fit([rows], initial_centroids(rows, n_clusters, rng)).centroids
    return rows, centroids, kmeans.assign(rows, centroids)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=70))
def test_thresholds_from_four_scores_a_cluster_are_those_of_all_scores(members: list[tuple[int, int]]) -> None:
    cluster_ids = np.array([c for c, _ in members], np.int32)
    scores = np.array([s / 9 for _, s in members], np.float32)
    sizes = np.bincount(cluster_ids, minlength=5)
    ascending = [np.sort(scores[cluster_ids == c].astype(np.float64)) for c in range(5)]
    deviations = None
    four = [own[list(clusters.middle_places(len(own)))] if len(own) else np.full(4, np.nan) for own in ascending]
    spreads = clusters.Spread.of_statistics(np.array(four).T)
    if not (sizes >= clusters.MIN_SIZE).any():
        halves = [m - own[: (len(own) + 1) // 2] for m, own in zip(spreads.middle, ascending, strict=True)]
        deviations = np.concatenate(halves)
    whole = np.sort(scores.astype(np.float64))
    low = whole[whole <= np.median(whole)]
    places = [(len(whole) - 1) // 2, len(whole) // 2]
    lower = [(len(low) - 1) // 2, len(low) // 2]
    collection = clusters.Spread.of_statistics(np.array([*whole[places], *low[lower]]))
    got = clusters.outlier_thresholds(sizes, spreads, collection, deviations)
    np.testing.assert_allclose(got, oracle.thresholds(cluster_ids, scores, 5), atol=1e-6)


def test_planted_strangers_are_outliers_and_few_others_are() -> None:
    rows, centroids, _ = fitted(2000)
    strangers = unit(np.random.default_rng(9).standard_normal((40, 12)).astype(np.float32))
    everyone = np.concatenate([rows, strangers])
    cluster_ids, scores = kmeans.assign(everyone, centroids)
    marked = oracle.outliers(cluster_ids, scores, oracle.thresholds(cluster_ids, scores, 5))
    assert marked[2000:].mean() > 0.9
    assert marked[:2000].mean() < 0.05


def test_a_small_cluster_borrows_the_spread_of_large_ones() -> None:
    rng = np.random.default_rng(0)
    large = 0.9 - np.abs(0.02 * rng.standard_normal(500))
    small = np.array([0.95, 0.94, 0.94, 0.5])
    cluster_ids = np.repeat([0, 1], [500, 4]).astype(np.int32)
    scores = np.concatenate([large, small]).astype(np.float32)
    threshold = oracle.thresholds(cluster_ids, scores, 3)
    assert 0.94 - threshold[1] == pytest.approx(np.median(large) - threshold[0], abs=1e-5)
    assert oracle.outliers(cluster_ids, scores, threshold)[500:].tolist() == [False, False, False, True]
    assert np.isnan(threshold[2])


def test_identical_members_are_no_outliers() -> None:
    cluster_ids, scores = np.zeros(30, np.int32), np.full(30, 1.0, np.float32)
    assert not oracle.outliers(cluster_ids, scores, oracle.thresholds(cluster_ids, scores, 1)).any()


def test_rivals_against_a_loop() -> None:
    rows, centroids, (cluster_ids, _) = fitted(60)
    second = clusters.rivals(rows, cluster_ids, centroids)
    for i, row in enumerate(rows):
        distances = 1 - centroids @ row
        others = [c for c in range(5) if c != cluster_ids[i]]
        b = min(others, key=lambda c: distances[c])
        assert second.cluster_ids[i] == b
        assert second.margins[i] == pytest.approx(distances[b] - distances[cluster_ids[i]], abs=1e-5)


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


def shared(old: np.ndarray, new: np.ndarray, n_old: int, n_new: int) -> np.ndarray:
    """(n_old, n_new): images in both, of the clusters of the same images before and after."""
    overlap = np.zeros((n_old, n_new), np.int64)
    np.add.at(overlap, (old, new), 1)
    return overlap


def test_renumbered_clusters_get_their_old_ids_back() -> None:
    rng = np.random.default_rng(1)
    old = rng.integers(0, 7, 500)
    shuffled = rng.permutation(7)
    numbers = np.array([2, 3, 5, 7, 11, 13, 17], np.int32)
    got = clusters.match_clusters(shared(old, shuffled[old], 7, 7), numbers, 18)
    np.testing.assert_array_equal(got.new_ids[shuffled[old]], numbers[old])
    assert (got.splits, got.merges) == ([], [])


def test_splits_merges_and_new_clusters() -> None:
    old = np.repeat([0, 0, 1, 2, 3], [60, 40, 50, 50, 50])
    new = np.repeat([4, 1, 0, 0, 2], [60, 40, 50, 50, 50])  # 0 split into 4 and 1; 1 and 2 merged into 0; 3 became 2
    got = clusters.match_clusters(shared(old, new, 4, 5), np.array([10, 11, 12, 13], np.int32), 20)
    new_ids = got.new_ids.tolist()
    assert (new_ids[4], new_ids[2]) == (10, 13)
    assert new_ids[0] in (11, 12)
    assert sorted([new_ids[1], new_ids[3]]) == [20, 21]  # the fresh part of 10, and the cluster with nothing in it
    assert got.splits == [(10, [10, new_ids[1]])]
    assert got.merges == [(new_ids[0], [11, 12])]


def test_matching_keeps_the_most_images() -> None:
    got = clusters.match_clusters(np.array([[5, 9], [0, 8]]), np.array([0, 1], np.int32), 2)
    assert got.new_ids.tolist() == [0, 1]
    assert got.overlap.tolist() == [5, 8]
