import numpy as np
import pytest

from imgsearch.clusters.count import choose_n_clusters
from imgsearch.vectors import unit


def planted(modes: int, n: int = 1200, dim: int = 32, spread: float = 0.4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((modes, dim))
    return unit((centres[rng.integers(0, modes, n)] + spread * rng.standard_normal((n, dim))).astype(np.float32))


@pytest.mark.parametrize("modes", [3, 8, 16, 30])
def test_planted_clusters_are_counted_to_within_a_step(modes: int) -> None:
    choice = choose_n_clusters(planted(modes))
    assert modes / 1.5 <= choice.n_clusters <= modes * 1.5


def test_noise_asks_for_few_clusters() -> None:
    noise = unit(np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32))
    assert choose_n_clusters(noise).n_clusters == 2


def test_the_curve_is_in_order_and_bounded() -> None:
    rows = planted(40, n=400)
    curve = choose_n_clusters(rows, max_clusters=20).curve
    counts = [count for count, _ in curve]
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (2, 20)
    assert choose_n_clusters(rows).curve[-1][0] <= 40
    assert all(0 <= cost <= 2 for _, cost in curve)


def test_copies_count_once_and_too_few_rows_are_one_cluster() -> None:
    assert choose_n_clusters(np.repeat(planted(2, n=3), 100, axis=0)).n_clusters == 1
    rows = planted(8)
    assert choose_n_clusters(np.repeat(rows, 2, axis=0)) == choose_n_clusters(rows[::-1])
