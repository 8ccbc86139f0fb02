"""What to name next, against a search of every order; and names against their neighbours."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.labels.conflicts import conflicts
from imgsearch.labels.next_names import next_names
from imgsearch.labels.votes import SHARPNESS, Voters, held_out
from imgsearch.vectors import unit


def settled(vectors: np.ndarray, doubt: np.ndarray, nearest: np.ndarray, rows: tuple[int, ...]) -> float:
    """The doubt that names of ``rows`` take away, by loops."""
    total = 0.0
    for j in range(len(vectors)):
        before = max(float(nearest[j]), 0.0) ** SHARPNESS
        after = max([before, *(max(float(vectors[i] @ vectors[j]), 0.0) ** SHARPNESS for i in rows)])
        total += float(doubt[j]) * (after - before)
    return total


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_greedy_choice_is_the_best_first_and_near_the_best_whole(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(np.abs(rng.standard_normal((9, 3))))
    confidence, nearest = rng.random(9).astype(np.float32), (rng.random(9) * 0.9).astype(np.float32)
    got = next_names(vectors, confidence, nearest, k)
    rows = tuple(got.rows.tolist())
    assert len(set(rows)) == len(rows) <= k
    doubt = 1 - confidence
    np.testing.assert_allclose(got.settles.sum(), settled(vectors, doubt, nearest, rows), atol=1e-4)
    best = max(settled(vectors, doubt, nearest, some) for some in itertools.combinations(range(9), k))
    assert got.settles.sum() >= (1 - 1 / np.e) * best - 1e-4
    assert all(a >= b - 1e-5 for a, b in itertools.pairwise(got.settles))


def test_large_doubtful_groups_come_first_and_once_each() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((3, 32)))
    kinds = np.repeat([0, 1, 2], [30, 12, 30])
    vectors = unit(centres[kinds] + 0.05 * rng.standard_normal((72, 32)).astype(np.float32))
    confidence = np.where(kinds == 2, 0.95, 0.2).astype(np.float32)  # the third group is sure already
    got = next_names(vectors, confidence, np.full(72, 0.3, np.float32), 3)
    assert kinds[got.rows].tolist() == [0, 1, 2]


def test_nothing_is_listed_twice_or_for_nothing() -> None:
    vectors = np.repeat(unit(np.eye(4)), 3, axis=0)
    got = next_names(vectors, np.zeros(12, np.float32), np.zeros(12, np.float32), 10)
    assert got.rows.tolist() == [0, 3, 6, 9]
    assert next_names(vectors, np.ones(12, np.float32), np.zeros(12, np.float32), 3).rows.tolist() == []
    assert next_names(vectors[:0], np.ones(0, np.float32), np.zeros(0, np.float32), 3).rows.tolist() == []


def test_a_name_against_its_neighbours() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((2, 32)))
    kinds = np.repeat([0, 1], 10)
    vectors = unit(centres[kinds] + 0.05 * rng.standard_normal((20, 32)).astype(np.float32))
    labels = kinds.copy()
    labels[[3, 15]] = [1, 0]  # a slip of the hand in each
    voters = Voters(
        vectors, labels, np.ones(20, bool), np.empty((0, 32), np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    )
    rows = np.arange(20)
    got = conflicts(labels, held_out(voters, rows), voters, 100)
    assert dict(zip(got.rows.tolist(), got.instead.tolist(), strict=True)) == {3: 0, 15: 1}
    assert (got.share >= 0.6).all()
    assert len(conflicts(labels, held_out(voters, rows), voters, 1).rows) == 1
