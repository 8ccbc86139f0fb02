import numpy as np
import pytest
from support.cluster_oracle import expected_level, level, outliers, thresholds

from imgsearch.clusters import kmeans
from imgsearch.clusters.drift import Level, drift, together
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.vectors import unit


def planted(n: int, groups: int, noise: float, seed: int, dim: int = 32) -> np.ndarray:
    centres = unit(np.random.default_rng(0).standard_normal((groups, dim)).astype(np.float32))
    rng = np.random.default_rng(seed)
    return unit((centres[rng.integers(groups, size=n)] + noise * rng.standard_normal((n, dim))).astype(np.float32))


def fitted(rows: np.ndarray, n_clusters: int) -> tuple[np.ndarray, np.ndarray, Level]:
    centroids = kmeans.fit([rows], initial_centroids(rows, n_clusters, np.random.default_rng(0))).centroids
    found = kmeans.assign(rows, centroids)
    threshold = thresholds(found.cluster_ids, found.scores, len(centroids))
    return centroids, threshold, expected_level(found.cluster_ids, found.scores, threshold)


def assigned(rows: np.ndarray, centroids: np.ndarray, threshold: np.ndarray) -> Level:
    found = kmeans.assign(rows, centroids)
    return level(found.scores, outliers(found.cluster_ids, found.scores, threshold))


@pytest.mark.parametrize("per_cluster", [8, 100])
def test_images_of_the_same_kind_are_no_drift_even_in_small_clusters(per_cluster: int) -> None:
    rows = planted(12 * per_cluster, 12, 0.15, seed=1)
    centroids, threshold, fit = fitted(rows, 12)
    new = assigned(planted(60, 12, 0.15, seed=2), centroids, threshold)
    assert drift(fit, new).reason is None
    assert abs(new.mean_score - fit.mean_score) < 0.15 * (1 - fit.mean_score)


def test_strangers_are_drift_and_so_are_as_many_images_again() -> None:
    rows = planted(600, 12, 0.15, seed=1)
    centroids, threshold, fit = fitted(rows, 12)
    strangers = unit(np.random.default_rng(9).standard_normal((40, 32)).astype(np.float32))
    assert "outliers" in (drift(fit, assigned(strangers, centroids, threshold)).reason or "")
    doubled = assigned(planted(600, 12, 0.15, seed=3), centroids, threshold)
    assert "600 images came" in (drift(fit, doubled).reason or "")


def test_a_slow_slide_is_drift_without_outliers() -> None:
    fit = Level(1000, 0.02, 0.80, 0.05)
    assert "30% farther" in (drift(fit, Level(500, 0.03, 0.74, 0.05)).reason or "")
    assert drift(fit, Level(500, 0.03, 0.79, 0.05)).reason is None


def test_ten_odd_images_decide_nothing() -> None:
    fit = Level(1000, 0.05, 0.80, 0.1)
    assert drift(fit, Level(10, 0.2, 0.78, 0.1)).reason is None
    assert drift(fit, Level(500, 0.2, 0.78, 0.1)).reason is not None


def test_levels_together_are_the_level_of_all() -> None:
    rng = np.random.default_rng(0)
    parts = [(rng.random(n).astype(np.float32), rng.random(n) < 0.1) for n in (5, 50, 300)]
    whole = level(np.concatenate([s for s, _ in parts]), np.concatenate([o for _, o in parts]))
    assert together(level(*part) for part in parts) == pytest.approx(whole, rel=1e-5)
    with pytest.raises(ValueError, match="at least one image"):
        together([])
