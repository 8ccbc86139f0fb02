import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.clusters import kmeans, seeding
from imgsearch.clusters.kmeans import Partial
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.vectors import unit


def clustered(n: int, dim: int = 16, modes: int = 6, seed: int = 0, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((modes, dim))
    return unit((centres[rng.integers(0, modes, n)] + spread * rng.standard_normal((n, dim))).astype(np.float32))


def seeded(rows: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    return initial_centroids(rows, n_clusters, np.random.default_rng(seed))


def test_assign_is_the_nearest_centroid() -> None:
    rows, centroids = clustered(1500), clustered(40, seed=1)
    got = kmeans.assign(rows, centroids)
    scores = rows.astype(np.float64) @ centroids.astype(np.float64).T
    np.testing.assert_array_equal(got.cluster_ids, scores.argmax(axis=1))
    np.testing.assert_allclose(got.scores, scores.max(axis=1), atol=1e-5)


def test_equal_centroids_go_to_the_lower_one() -> None:
    rows = clustered(300)
    centroids = np.concatenate([clustered(5, seed=1)] * 2)
    assert kmeans.assign(rows, centroids).cluster_ids.max() < 5


def test_partial_sums_and_cost_are_those_of_the_rows() -> None:
    rows, centroids = clustered(700), clustered(9, seed=1)
    total = kmeans.partial(rows, centroids)
    cluster_ids = (rows.astype(np.float64) @ centroids.T).argmax(axis=1)
    for cluster in range(9):
        members = rows[cluster_ids == cluster].astype(np.float64)
        assert total.counts[cluster] == len(members)
        np.testing.assert_allclose(total.sums[cluster] / kmeans.GRID, members.sum(axis=0), atol=1e-6)
    expected = (1 - (rows.astype(np.float64) * centroids[cluster_ids]).sum(axis=1)).sum()
    assert total.cost(centroids) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=6), st.randoms(use_true_random=False))
def test_any_partitioning_gives_the_same_clusters_bit_by_bit(cuts: list[int], random: object) -> None:
    rows = clustered(600, dim=33, spread=1.0)
    centroids = seeded(rows, 12)
    whole = kmeans.fit([rows], centroids, n_rounds=5)
    order = list(range(600))
    random.shuffle(order)  # type: ignore[attr-defined]
    parts = [part for part in np.split(rows[order], sorted(cuts)) if len(part)]
    np.testing.assert_array_equal(kmeans.fit(parts, centroids, n_rounds=5).centroids, whole.centroids)


def test_a_near_tie_is_decided_alike_in_every_batch() -> None:
    rng = np.random.default_rng(3)
    centroids = unit(np.repeat(rng.standard_normal((20, 64)), 2, axis=0) + 1e-7 * rng.standard_normal((40, 64)))
    rows = clustered(500, dim=64, seed=4)
    whole = kmeans.assign(rows, centroids).cluster_ids
    single = [kmeans.assign(rows[i : i + 1], centroids).cluster_ids[0] for i in range(500)]
    np.testing.assert_array_equal(whole, single)


def test_the_cost_never_rises_and_the_rounds_converge() -> None:
    rows = clustered(2000, spread=1.0)
    result = kmeans.fit([rows], rows[:10].copy(), n_rounds=100)
    assert result.converged
    assert np.all(np.diff(result.costs) <= 1e-6)


def test_planted_clusters_are_found() -> None:
    rng = np.random.default_rng(2)
    modes, truth = rng.standard_normal((8, 16)), rng.integers(0, 8, 3000)
    rows = unit((modes[truth] + 0.15 * rng.standard_normal((3000, 16))).astype(np.float32))
    result = kmeans.fit([rows], seeded(rows, 8))
    found = kmeans.assign(rows, result.centroids).cluster_ids
    assert len(set(zip(truth.tolist(), found.tolist(), strict=True))) == 8
    assert result.costs[-1] == pytest.approx((1 - (rows @ unit(modes).T).max(axis=1)).sum(), rel=0.05)


def test_ten_thousand_copies_take_one_cluster() -> None:
    rows = clustered(500, modes=10, spread=0.2)
    copies = np.repeat(unit(np.ones((1, 16), np.float32)), 10_000, axis=0)
    result = kmeans.fit([copies, rows], seeded(np.concatenate([copies, rows]), 11))
    assert len(set(kmeans.assign(copies, result.centroids).cluster_ids)) == 1
    assert len(set(kmeans.assign(rows, result.centroids).cluster_ids)) == 10


def test_fewer_distinct_rows_than_clusters() -> None:
    rows = np.repeat(clustered(4), 25, axis=0)
    centroids = seeded(rows, 10)
    assert len(centroids) == 4
    result = kmeans.fit([rows], centroids)
    assert result.costs[-1] == pytest.approx(0, abs=1e-4)
    assert np.bincount(kmeans.assign(rows, result.centroids).cluster_ids).tolist() == [25] * 4


def test_the_order_of_the_sample_does_not_matter() -> None:
    rows = clustered(800, spread=1.0)
    np.testing.assert_array_equal(seeded(rows, 20), seeded(rows[::-1], 20))


def test_an_empty_cluster_takes_half_of_the_worst() -> None:
    rows = clustered(1000, modes=2, spread=0.4, seed=5)
    lost = unit(-rows.mean(axis=0, keepdims=True))
    centroids = np.concatenate([unit(rows.mean(axis=0, keepdims=True)), lost])
    assert kmeans.partial(rows, centroids).counts[1] == 0
    result = kmeans.fit([rows], centroids)
    assert kmeans.partial(rows, result.centroids).counts.min() > 100


def test_one_distinct_vector_is_not_divided() -> None:
    rows = np.repeat(clustered(1), 50, axis=0)
    centroids = np.concatenate([rows[:1], -rows[:1]])
    result = kmeans.fit([rows], centroids)
    assert kmeans.partial(rows, result.centroids).counts.tolist() == [50, 0]
    assert np.isfinite(result.centroids).all()


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, 5.0])
def test_rows_that_are_not_of_unit_length_are_refused(bad: float) -> None:
    rows = clustered(20)
    rows[7] = bad
    for act in (
        lambda: kmeans.assign(rows, clustered(3)),
        lambda: kmeans.partial(rows, clustered(3)),
        lambda: seeded(rows, 3),
    ):
        with pytest.raises(ValueError, match="1 of 20 vectors"):
            act()


def test_bytes_and_merge() -> None:
    rows, centroids = clustered(100), clustered(4, seed=1)
    one, two = kmeans.partial(rows[:30], centroids), kmeans.partial(rows[30:], centroids)
    both = Partial.from_bytes(one.merge(two).to_bytes())
    whole = kmeans.partial(rows, centroids)
    np.testing.assert_array_equal(both.sums, whole.sums)
    np.testing.assert_array_equal(both.counts, whole.counts)
    np.testing.assert_array_equal(one.merge(Partial.empty(4, 16)).sums, one.sums)
    with pytest.raises(ValueError, match="serialised"):
        Partial.from_bytes(whole.to_bytes()[:-8])


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="n_clusters 0"):
        seeded(clustered(5), 0)
    with pytest.raises(ValueError, match="without a sample"):
        seeded(np.empty((0, 16), np.float32), 3)


def test_rounds_rest_when_they_gain_nothing_but_not_before_an_empty_cluster_has_its_place() -> None:
    held, empty = (kmeans.Partial(np.zeros((2, 3), np.int64), np.array(counts)) for counts in ([5, 5], [10, 0]))
    step = kmeans.Update(np.zeros((2, 3), np.float32), shift=0.1, cost=99.999)
    assert kmeans.at_rest(step, [100.0, 99.999], held)
    assert not kmeans.at_rest(step, [100.0, 99.999], empty)
    assert not kmeans.at_rest(step, [101.0, 99.999], held)
    assert not kmeans.at_rest(step, [99.999], held)
    assert kmeans.at_rest(step._replace(shift=0.0), [99.999], empty)


def test_the_number_of_threads_does_not_change_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(np.random.default_rng(3).standard_normal((9000, 16)).astype(np.float32))
    found = []
    for threads in (1, 3):
        for module in (kmeans, seeding):
            monkeypatch.setattr(module, "n_threads", lambda threads=threads: threads)
        found.append(initial_centroids(rows, 20, np.random.default_rng(5), n_rounds=3).tobytes())
    assert found[0] == found[1]
