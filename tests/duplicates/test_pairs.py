"""Pairs and groups against plain Python: every pair once, no chains, copies collapsed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.duplicates.pairs import Pairs, distinct, group, pairs_above
from imgsearch.topk.score import paired_scores
from imgsearch.vectors import unit


def clumps(rng: np.random.Generator, n: int, dim: int = 24, spread: float = 0.15) -> np.ndarray:
    centres = rng.standard_normal((max(1, n // 6), dim))
    return unit((centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, dim))).astype(np.float32))


def naive_pairs(left, left_ids, right, right_ids, threshold) -> dict[tuple[int, int], np.float32]:
    found = {}
    for a, i in zip(left, left_ids, strict=True):
        scores = paired_scores(np.repeat(a[None], len(right), axis=0), right)
        for score, j in zip(scores, right_ids, strict=True):
            if i != j and float(score) >= threshold:
                found[min(int(i), int(j)), max(int(i), int(j))] = score
    return found


def as_dict(pairs: Pairs) -> dict[tuple[int, int], np.float32]:
    found = {(int(i), int(j)): s for i, j, s in zip(*pairs, strict=True)}
    assert len(found) == len(pairs.left), "a pair came twice"
    assert list(found) == sorted(found)
    return found


@given(st.integers(1, 40), st.floats(-0.2, 1.0), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_pairs_are_the_naive_pairs(n, threshold, seed):
    rng = np.random.default_rng(seed)
    rows, ids = clumps(rng, 2 * n), rng.permutation(10 * n)[: 2 * n]
    rows[rng.integers(0, 2 * n, n // 3)] = rows[0]
    whole = naive_pairs(rows, ids, rows, ids, threshold)
    assert as_dict(pairs_above(rows, ids, rows, ids, threshold)) == whole
    across = as_dict(pairs_above(rows[:n], ids[:n], rows[n:], ids[n:], threshold))
    assert across == naive_pairs(rows[:n], ids[:n], rows[n:], ids[n:], threshold)
    within = [
        as_dict(pairs_above(rows[part], ids[part], rows[part], ids[part], threshold)) for part in (np.s_[:n], np.s_[n:])
    ]
    assert across | within[0] | within[1] == whole


def test_blocks_larger_than_one_are_cut_without_loss():
    rng = np.random.default_rng(5)
    rows = clumps(rng, 9000, 16, 0.05)
    ids = np.arange(9000)
    pairs = pairs_above(rows, ids, rows, ids, 0.985)
    as_dict(pairs)
    sample = rng.integers(0, 9000, 60)
    for i in sample:
        near = np.flatnonzero(paired_scores(np.repeat(rows[i][None], 9000, axis=0), rows) >= np.float32(0.985))
        found = np.concatenate([pairs.right[pairs.left == i], pairs.left[pairs.right == i]])
        assert sorted(found) == sorted(set(near.tolist()) - {int(i)})


def test_what_does_not_pair_up_is_refused():
    rows, ids = np.eye(4, 8, dtype=np.float32), np.arange(4)
    broken = rows.copy()
    broken[1, 1] = np.inf
    with pytest.raises(ValueError, match="do not pair up"):
        pairs_above(rows, ids, rows[:, :4], ids + 4, 0.5)
    with pytest.raises(ValueError, match="overlap in part"):
        pairs_above(rows, ids, rows, ids + 2, 0.5)
    with pytest.raises(ValueError, match="not a number"):
        pairs_above(rows, ids, rows, ids, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        pairs_above(rows, ids, broken, ids + 4, 0.5)
    with pytest.raises(ValueError, match="not finite"):
        pairs_above(broken, ids, rows, ids + 4, 0.5)
    with pytest.raises(ValueError, match="outside 0 to 2"):
        group(3, Pairs(np.array([0]), np.array([3]), np.ones(1, np.float32)))


def naive_groups(n: int, pairs: dict[tuple[int, int], np.float32], weights: list[int]) -> tuple[list[int], list[float]]:
    near: dict[int, dict[int, float]] = {i: {} for i in range(n)}
    for (i, j), score in pairs.items():
        near[i][j] = near[j][i] = float(score)
    order = sorted(range(n), key=lambda i: (-(weights[i] + sum(weights[j] for j in near[i])), i))
    heads: set[int] = set()
    for i in order:
        if not heads & near[i].keys():
            heads.add(i)
    chosen = [i if i in heads else min((-near[i][h], h) for h in heads & near[i].keys())[1] for i in range(n)]
    return chosen, [1.0 if i == h else near[i][h] for i, h in enumerate(chosen)]


@given(st.integers(1, 60), st.floats(0.5, 0.99), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_groups_are_the_naive_groups_and_have_no_chains(n, threshold, weighted, seed):
    rng = np.random.default_rng(seed)
    rows = clumps(rng, n)
    weights = rng.integers(1, 5, n) if weighted else np.ones(n, np.int64)
    pairs = pairs_above(rows, np.arange(n), rows, np.arange(n), threshold)
    groups = group(n, pairs, weights if weighted else None)
    chosen, scores = naive_groups(n, as_dict(pairs), weights.tolist())
    assert groups.representative.tolist() == chosen
    assert groups.scores.tolist() == scores
    heads = np.unique(groups.representative)
    assert (groups.representative[heads] == heads).all()
    assert (paired_scores(rows, rows[groups.representative]) >= np.float32(threshold) - 1e-6).all()


def test_a_chain_is_cut():
    angles = np.arange(9) * 0.1
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    pairs = pairs_above(rows, np.arange(9), rows, np.arange(9), float(np.cos(0.15)))
    assert pairs.left.tolist() == list(range(8))
    representative = group(9, pairs).representative
    assert np.unique(representative).tolist() == [1, 3, 5, 7]
    assert (np.abs(representative - np.arange(9)) <= 1).all()


def test_copies_are_collapsed_before_they_make_pairs():
    rng = np.random.default_rng(2)
    frame, others = clumps(rng, 1, 64), clumps(rng, 500, 64)
    rows = np.concatenate([others[:250], np.repeat(frame, 10_000, axis=0), others[250:], frame])
    started = time.perf_counter()
    once = distinct(rows)
    assert len(once.rows) == 501
    assert np.array_equal(rows[once.rows][once.of], rows)
    assert (np.diff(once.rows) > 0).all()
    assert [int(np.flatnonzero(once.of == i)[0]) for i in range(len(once.rows))] == once.rows.tolist()
    weights = np.bincount(once.of)
    pairs = pairs_above(rows[once.rows], np.arange(501), rows[once.rows], np.arange(501), 0.9)
    groups = group(501, pairs, weights)
    assert groups.representative[250] == 250
    assert len(pairs.left) < 501 * 501 // 2
    assert time.perf_counter() - started < 20
    assert distinct(np.zeros((0, 4), np.float32)).of.tolist() == []
