"""The map keeps neighbours together, and is the same map every time."""

from __future__ import annotations

import numpy as np
import pytest

from imgsearch.report.tsne import tsne_map


def groups(n: int, d: int, n_groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n)
    return (rng.normal(size=(n_groups, d))[group] * 3 + rng.normal(size=(n, d))).astype(np.float32), group


def test_neighbours_stay_neighbours() -> None:
    vectors, group = groups(240, 32, 5)
    xy, indices = tsne_map(vectors, seed=3)
    assert xy.dtype == np.float32
    assert xy.shape == (240, 2)
    assert indices.tolist() == list(range(240))
    distances = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).mean() > 0.97


def test_length_of_rows_does_not_matter() -> None:
    vectors, group = groups(120, 8, 3)
    scaled = vectors * np.random.default_rng(1).uniform(0.1, 10, size=(120, 1)).astype(np.float32)
    xy, _ = tsne_map(scaled)
    distances = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).mean() > 0.97


def test_same_vectors_and_seed_same_map() -> None:
    vectors, _ = groups(150, 16, 4)
    np.testing.assert_array_equal(tsne_map(vectors, 7)[0], tsne_map(vectors.copy(), 7)[0])


def test_a_sample_is_distinct_ascending_and_seeded() -> None:
    vectors, _ = groups(300, 8, 3)
    xy, indices = tsne_map(vectors, seed=1, max_points=40)
    assert xy.shape == (40, 2)
    assert (np.diff(indices) > 0).all()
    assert set(indices) <= set(range(300))
    np.testing.assert_array_equal(indices, tsne_map(vectors, seed=1, max_points=40)[1])
    assert (indices != tsne_map(vectors, seed=2, max_points=40)[1]).any()


@pytest.mark.parametrize("shape", [(0, 8), (1, 8), (2, 8), (3, 8), (4, 8), (5, 1), (7, 2), (40, 1)])
def test_few_points_and_few_dimensions(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    xy, indices = tsne_map(vectors)
    assert xy.shape == (shape[0], 2)
    assert np.isfinite(xy).all()
    assert len(indices) == shape[0]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_vectors_lie_on_one_spot(value: float) -> None:
    xy, _ = tsne_map(np.full((50, 8), value, np.float32))
    assert (xy == 0).all()


@pytest.mark.parametrize("bad", [np.zeros(5, np.float32), np.full((4, 4), np.nan, np.float32)])
def test_what_is_no_finite_matrix_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        tsne_map(bad)


def test_max_points_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_points"):
        tsne_map(np.zeros((3, 2), np.float32), max_points=0)
