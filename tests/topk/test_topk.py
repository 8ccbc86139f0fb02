"""The search kernel against oracles written here: the same ids, the same bits, however the gallery is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.topk import int8, reference
from imgsearch.topk.score import paired_scores
from imgsearch.topk.topk import RunningTopK, TopK, merge, top_k
from imgsearch.vectors import unit

ENGINES = ["float32", *(["int8"] if int8.supported() else [])]


def naive_score(a: np.ndarray, b: np.ndarray) -> np.float32:
    """The definition in ``score``, in plain Python floats (which are float64)."""
    products = [float(x) * float(y) for x, y in zip(a, b, strict=True)]
    whole = len(products) // 16 * 16
    lanes = [0.0] * 16
    for i in range(whole):
        lanes[i % 16] += products[i]
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    total = lanes[0]
    for product in products[whole:]:
        total += product
    return np.float32(total)


def naive_top_k(queries, gallery, ids, k, exclude=None, min_score=-np.inf) -> TopK:
    out_ids = np.full((len(queries), k), -1, np.int64)
    out_scores = np.full((len(queries), k), -np.inf, np.float32)
    for q, query in enumerate(queries):
        rows = [(-naive_score(query, row), int(i)) for row, i in zip(gallery, ids, strict=True)]
        rows = [(s, i) for s, i in rows if -s >= min_score and (exclude is None or i != exclude[q])]
        for rank, (negative, i) in enumerate(sorted(rows)[:k]):
            out_ids[q, rank], out_scores[q, rank] = i, -negative
    return TopK(out_ids, out_scores)


def same(a: TopK, b: TopK) -> bool:
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.scores.view(np.int32), b.scores.view(np.int32))


def crowded(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Unit rows full of ties: copies, rows one float apart, and coordinates that differ in the last bits only."""
    base = rng.standard_normal((max(1, n // 4), dim)) * (np.arange(1, dim + 1) ** -rng.uniform(0, 1))
    rows = unit(base[rng.integers(0, len(base), n)].astype(np.float32))
    moved = rng.integers(0, n, n // 2)
    rows[moved, rng.integers(0, dim, n // 2)] = np.nextafter(rows[moved, rng.integers(0, dim, n // 2)], np.float32(2))
    return rows


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_score_is_its_definition(dim, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal((3, dim)).astype(np.float32) for _ in range(2))
    found = paired_scores(a, b)
    assert np.array_equal(found, [naive_score(x, y) for x, y in zip(a, b, strict=True)])
    assert np.array_equal(found, np.diag(reference.scores(a, b)))
    exact = [
        np.float32(math.fsum(float(p) * float(q) for p, q in zip(x, y, strict=True))) for x, y in zip(a, b, strict=True)
    ]
    assert (np.abs(found - exact) <= np.spacing(np.abs(exact))).all()


@pytest.mark.parametrize("engine", ENGINES)
@given(
    n=st.integers(1, 90),
    n_queries=st.integers(1, 30),
    dim=st.sampled_from([1, 3, 16, 33, 64, 100]),
    k=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_naive_answer_with_ties_in_any_batches_and_order(engine, n, n_queries, dim, k, seed):
    rng = np.random.default_rng(seed)
    gallery = crowded(rng, n, dim)
    queries = np.concatenate(
        [gallery[rng.integers(0, n, n_queries // 2)], crowded(rng, n_queries - n_queries // 2, dim)]
    )
    ids = rng.permutation(n * 3)[:n].astype(np.int64)
    wanted = naive_top_k(queries, gallery, ids, k)
    for _ in range(2):
        order = rng.permutation(n)
        running = RunningTopK(queries, k, engine)
        for part in np.array_split(order, rng.integers(1, 5)):
            running.update(gallery[part], ids[part])
        assert same(running.result(), wanted)


@pytest.mark.parametrize("engine", ENGINES)
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_exclude_and_min_score(engine, seed):
    rng = np.random.default_rng(seed)
    gallery = crowded(rng, 60, 32)
    ids = np.arange(60)
    own = np.where(rng.random(20) < 0.7, np.arange(20), -1)
    least = np.float32(rng.uniform(-0.5, 1))
    running = RunningTopK(gallery[:20], 5, engine)
    for part in np.array_split(ids, 3):
        running.update(gallery[part], part, exclude=own, min_score=least)
    assert same(running.result(), naive_top_k(gallery[:20], gallery, ids, 5, own, least))


def spectrum(rng: np.random.Generator, n: int, dim: int, decay: float, centres: np.ndarray) -> np.ndarray:
    rows = rng.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -decay + centres[rng.integers(0, len(centres), n)]
    return unit(rows.astype(np.float32))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("decay", "k"), [(0.0, 10), (0.7, 10), (1.2, 1), (0.5, 300)])
def test_large_and_pruned_equals_a_sort_of_all_scores(engine, decay, k):
    """Enough rows that ``lead`` is chosen and chunks follow one another; a third of them are copies."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((40, 96)) * np.arange(1, 97) ** -decay
    gallery = spectrum(rng, 6000, 96, decay, centres)
    gallery[rng.integers(0, 6000, 2000)] = gallery[rng.integers(0, 200, 2000)]
    queries = np.concatenate([gallery[:40], spectrum(rng, 30, 96, decay, centres)])
    running = RunningTopK(queries, k, engine)
    for first in range(0, 6000, 2500):
        running.update(gallery[first : first + 2500], np.arange(first, min(first + 2500, 6000)))
    found = running.result()
    assert same(found, reference.top_k(queries, gallery, np.arange(6000), k))
    assert running.n_scored < len(queries) * len(gallery)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_threshold_known_from_elsewhere_changes_the_work_but_not_the_answer(engine):
    rng = np.random.default_rng(3)
    gallery, queries = spectrum(rng, 3000, 64, 0.3, np.zeros((1, 64))), spectrum(rng, 50, 64, 0.3, np.zeros((1, 64)))
    cold, warm = RunningTopK(queries, 10, engine), RunningTopK(queries, 10, engine)
    cold.update(gallery, np.arange(3000))
    warm.update(gallery, np.arange(3000), min_score=top_k(queries, gallery[:1500], 10).scores[:, -1])
    assert same(cold.result(), warm.result())
    assert warm.n_scored < cold.n_scored


@given(st.integers(1, 6), st.integers(1, 15), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_merging_parts_is_searching_the_whole(n_parts, k, seed):
    rng = np.random.default_rng(seed)
    gallery = crowded(rng, 50, 24)
    parts = []
    for part in np.array_split(rng.permutation(50), n_parts):
        running = RunningTopK(gallery[:8], k)
        running.update(gallery[part], part)
        parts.append(running.result())
    assert same(merge(parts, k), naive_top_k(gallery[:8], gallery, np.arange(50), k))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rounded", ["query", "row"])
@pytest.mark.parametrize("sign", [1, -1])
def test_rounding_that_all_points_one_way_hides_nothing(engine, rounded, sign):
    """The worst case for int8: what rounding takes from one side is parallel to the other, which it leaves as it is.

    Every coordinate loses 0.49 of a step, the other side is ±1 throughout: Cauchy–Schwarz holds with equality, so a
    margin any smaller would lose the pair, which stands exactly at its threshold.
    """
    rng = np.random.default_rng(11)
    even = rng.choice([-1.0, 1.0], 256)
    uneven = (rng.integers(-60, 60, 256) + 0.49 * sign * even) / 127
    uneven[0] = even[0]  # the greatest coordinate: it sets the step
    even, uneven = even.astype(np.float32)[None], uneven.astype(np.float32)[None]
    query, row = (uneven, even) if rounded == "query" else (even, uneven)
    running = RunningTopK(query, 1, engine)
    running.update(row, np.zeros(1, np.int64), min_score=paired_scores(query, row))
    assert running.result().ids.tolist() == [[0]]


@pytest.mark.parametrize("engine", ENGINES)
@given(st.sampled_from([5, 32, 97]), st.floats(0, 1.5), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_row_exactly_at_its_threshold_is_found(engine, dim, decay, seed):
    rng = np.random.default_rng(seed)
    gallery, queries = (spectrum(rng, n, dim, decay, np.zeros((1, dim))) for n in (70, 25))
    wanted = rng.integers(0, 70, 25)
    running = RunningTopK(queries, 70, engine)
    running.update(gallery, np.arange(70), min_score=paired_scores(queries, gallery[wanted]))
    assert (running.result().ids == wanted[:, None]).any(axis=1).all()


def test_unlike_lengths_and_zero_rows_are_searched_rightly():
    rng = np.random.default_rng(1)
    gallery = (rng.standard_normal((80, 40)) * 10.0 ** rng.integers(-25, 13, (80, 1))).astype(np.float32)
    gallery[3] = 0
    queries = (rng.standard_normal((9, 40)) * 10.0 ** rng.integers(-25, 13, (9, 1))).astype(np.float32)
    queries[4] = 0
    for engine in ENGINES:
        running = RunningTopK(queries, 7, engine)
        for part in np.array_split(np.arange(80), 8):
            running.update(gallery[part], part)
        assert same(running.result(), naive_top_k(queries, gallery, np.arange(80), 7))


def test_more_asked_than_there_is():
    found = top_k(np.eye(2, 4, dtype=np.float32), np.eye(3, 4, dtype=np.float32), 5)
    assert found.ids.tolist() == [[0, 1, 2, -1, -1], [1, 0, 2, -1, -1]]
    assert found.scores[:, 3:].tolist() == [[-np.inf] * 2] * 2
    assert top_k(np.zeros((0, 4), np.float32), np.eye(3, 4, dtype=np.float32), 5).ids.shape == (0, 5)
    assert top_k(np.eye(2, 4, dtype=np.float32), np.zeros((0, 4), np.float32), 2).ids.tolist() == [[-1, -1]] * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cannot_be_searched_is_refused(engine):
    rows = np.eye(4, 32, dtype=np.float32)
    broken = rows.copy()
    broken[2, 5] = np.nan
    with pytest.raises(ValueError, match="top_k is 0"):
        RunningTopK(rows, 0, engine)
    with pytest.raises(ValueError, match="query row is not finite"):
        RunningTopK(broken, 1, engine)
    with pytest.raises(ValueError, match="gallery rows 0 to 3 is not finite"):
        RunningTopK(rows, 1, engine).update(broken, np.arange(4))
    with pytest.raises(ValueError, match="against queries"):
        RunningTopK(rows, 1, engine).update(rows[:, :8], np.arange(4))
    with pytest.raises(ValueError, match="exclude of shape"):
        RunningTopK(rows, 1, engine).update(rows, np.arange(4), exclude=np.zeros(3, np.int64))
