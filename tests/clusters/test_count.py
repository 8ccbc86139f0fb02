import itertools

import numpy as np
import pytest

from imgsearch.clusters.cluster import about_the_choice
from imgsearch.clusters.count import Choice, choose_n_clusters, counts_between
from imgsearch.config import ClusterConfig
from imgsearch.vectors import unit


def planted(modes: int, n: int = 1200, dim: int = 32, spread: float = 0.4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((modes, dim))
    return unit((centres[rng.integers(0, modes, n)] + spread * rng.standard_normal((n, dim))).astype(np.float32))


@pytest.mark.parametrize(("modes", "n"), [(25, 1200), (40, 1200), (60, 3000)])
def test_planted_clusters_are_counted_to_within_a_step_inside_the_curve(modes: int, n: int) -> None:
    choice = choose_n_clusters(planted(modes, n))
    assert modes / 1.5 <= choice.n_clusters <= modes * 1.5
    counts, criterion = zip(*choice.curve, strict=True)
    at = counts.index(choice.n_clusters)
    assert criterion[at] == min(criterion)
    assert 0 < at < len(counts) - 1  # an optimum, and not an end


@pytest.mark.parametrize("modes", [3, 8, 16, 30])
def test_for_purity_every_planted_cluster_is_found(modes: int) -> None:
    choice = choose_n_clusters(planted(modes), purity=True)
    assert modes / 1.5 <= choice.n_clusters <= modes * 1.5
    assert all(0 <= cost <= 2 for _, cost in choice.curve)


def test_noise_asks_for_few_clusters() -> None:
    noise = unit(np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32))
    assert choose_n_clusters(noise).n_clusters <= 22  # the fewest that may be are 16, the root of 1,000 by two
    assert choose_n_clusters(noise, purity=True).n_clusters == 2


def test_the_curve_lies_between_the_root_and_what_a_person_can_review() -> None:
    rows = planted(40, n=800)
    counts = [count for count, _ in choose_n_clusters(rows, max_clusters=60).curve]
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (14, 60)
    assert choose_n_clusters(rows).curve[-1][0] == 80  # five rows of half the sample a cluster
    assert choose_n_clusters(rows, n_images=10_000, max_clusters=60).curve[0][0] == 50
    assert [c for c, _ in choose_n_clusters(rows, n_images=10**6, max_clusters=60).curve] == [15, 21, 30, 42, 60]


@pytest.mark.parametrize(("least", "most"), [(2, 300), (7.3, 8), (1, 2), (500, 300), (0.5, 3), (3, 3)])
def test_counts_are_few_and_in_order(least: float, most: int) -> None:
    counts = counts_between(least, most)
    assert counts == sorted(set(counts))
    assert counts[-1] == most
    assert counts[0] >= 2
    assert all(b / a <= 1.6 or b - a <= 1 for a, b in itertools.pairwise(counts))


def test_copies_count_once_and_too_few_rows_are_one_cluster() -> None:
    assert choose_n_clusters(np.repeat(planted(2, n=3), 100, axis=0)).n_clusters == 1
    rows = planted(8)
    assert choose_n_clusters(np.repeat(rows, 2, axis=0), n_images=1200) == choose_n_clusters(rows[::-1])


@pytest.mark.parametrize(
    ("chosen", "is_sampled", "settings", "said"),
    [
        (20, True, {}, None),
        (10, True, {}, "10 clusters are the fewest that were tried"),
        (10, True, {"purity": True}, None),
        (40, True, {"max_clusters": 40}, "as many as --max-clusters allows"),
        (40, True, {}, "as many as a sample can tell apart"),
        (40, False, {}, None),
    ],
)
def test_an_end_of_the_curve_is_said(chosen: int, is_sampled: bool, settings: dict, said: str | None) -> None:
    choice = Choice(chosen, [(10, 0.5), (20, 0.4), (40, 0.3)])
    notes = about_the_choice(choice, ClusterConfig(warehouse="w", **settings), is_sampled=is_sampled)
    assert [said in note for note in notes] == ([True] if said else [])
