"""The learned map against plain loops, and the projection that it becomes a part of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.projections.moments import Moments
from imgsearch.projections.projection import fit
from imgsearch.projections.wccn import combined, normalising_map, within_class_covariance
from imgsearch.vectors import unit


def some_vectors(n: int, d: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def by_loops(vectors: np.ndarray, classes: np.ndarray) -> np.ndarray:
    total, freedom = np.zeros((vectors.shape[1],) * 2), 0
    for c in set(classes.tolist()):
        members = vectors[classes == c].astype(np.float64)
        for row in members:
            total += np.outer(row - members.mean(axis=0), row - members.mean(axis=0))
        freedom += len(members) - 1
    return total / max(freedom, 1)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 99))
def test_the_covariance_is_that_of_loops(classes: list[int], d: int, seed: int) -> None:
    vectors, numbers = some_vectors(len(classes), d, seed), np.array(classes)
    np.testing.assert_allclose(within_class_covariance(vectors, numbers), by_loops(vectors, numbers), atol=1e-9)


@given(st.integers(2, 30), st.integers(1, 8), st.floats(0.05, 1), st.integers(0, 99))
def test_the_map_makes_the_shrunk_covariance_the_identity(n: int, d: int, shrinkage: float, seed: int) -> None:
    covariance = within_class_covariance(some_vectors(n, d, seed), np.arange(n) % 2 * (n > 3))
    matrix = normalising_map(covariance, shrinkage).astype(np.float64)
    mean = np.trace(covariance) / d
    shrunk = (1 - shrinkage) * covariance / (mean or 1) + (shrinkage if mean else 1) * np.eye(d)
    np.testing.assert_allclose(matrix @ shrunk @ matrix, np.eye(d), atol=1e-4)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)


def test_full_shrinkage_and_classes_of_one_change_nothing() -> None:
    vectors = some_vectors(9, 5, 0)
    np.testing.assert_allclose(normalising_map(within_class_covariance(vectors, np.arange(9) // 3), 1), np.eye(5))
    np.testing.assert_array_equal(normalising_map(within_class_covariance(vectors, np.arange(9)), 0.5), np.eye(5))


@pytest.mark.parametrize("shrinkage", [0, -0.1, 1.1, float("nan")])
def test_a_shrinkage_without_an_inverse_is_refused(shrinkage: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        normalising_map(np.eye(3), shrinkage)


@pytest.mark.parametrize("whitening", [0.0, 0.5])
def test_the_combined_projection_is_one_after_the_other(whitening: float) -> None:
    embeddings = some_vectors(200, 12, 1) + np.float32(0.3)
    plain = fit(Moments.of(embeddings), 6, "enc", whitening)
    matrix = normalising_map(within_class_covariance(plain.apply(embeddings), np.arange(200) // 4), 0.3)
    learned = combined(plain, matrix)
    np.testing.assert_allclose(learned.apply(embeddings), unit(plain.apply(embeddings) @ matrix), atol=2e-6)
    assert (learned.is_learned, plain.is_learned) == (True, False)
    assert learned.projection_id != plain.projection_id
    assert (learned.mean is plain.mean, learned.n_components, learned.whitening) == (True, 6, whitening)
    assert not learned.apply(plain.mean[None]).any()  # what stands at the mean has no direction in either
