from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.retrieval import probes as core_visits
from imgsearch.retrieval.probes import (
    UNCLUSTERED,
    ProbedTopK,
    choose_nprobe,
    nearest_clusters,
    probes_of,
    ranges,
    recall_at_k,
)
from imgsearch.vectors import unit


def drawn(n, dim, seed):
    return unit(np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32))


def naive(queries, gallery, ids, clusters, nearest, top_k):
    """For every query: score all rows of its clusters and of none, sort by score, then id."""
    answers = []
    for query, mine in zip(queries, nearest, strict=True):
        seen = np.isin(clusters, mine) | (clusters == UNCLUSTERED)
        scores = gallery[seen] @ query
        order = np.lexsort((ids[seen], -scores))[:top_k]
        answers.append(ids[seen][order].tolist())
    return answers


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 20),
    st.integers(1, 200),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(0, 9),
    st.sampled_from([0, 100, core_visits.FEW_PAIRS]),
)
def test_the_best_of_the_visited_clusters_are_found(n_queries, n_rows, n_clusters, nprobe, top_k, seed, few_pairs):
    rng = np.random.default_rng(seed)
    queries, gallery, centroids = (
        drawn(n_queries, 16, seed),
        drawn(n_rows, 16, seed + 1),
        drawn(n_clusters, 16, seed + 2),
    )
    names = rng.permutation(50)[:n_clusters].astype(np.int64)  # numbers with gaps, as stable ids have
    clusters = np.append(names, UNCLUSTERED)[rng.integers(0, n_clusters + 1, n_rows)]
    clusters = np.sort(clusters)
    ids = rng.permutation(n_rows).astype(np.int64)
    nearest = nearest_clusters(queries, centroids, names, nprobe)
    running = ProbedTopK(queries, top_k, probes_of(nearest))
    with mock.patch.object(core_visits, "FEW_PAIRS", few_pairs):  # by pairs, by products, by both
        for start in range(0, n_rows, 37):
            part = slice(start, start + 37)
            running.update(gallery[part], ids[part], clusters[part])
    found = [[i for i in row if i >= 0] for row in running.result().ids.tolist()]
    assert found == naive(queries, gallery, ids, clusters, nearest, top_k)


def test_every_cluster_visited_is_the_exact_answer_and_few_are_few_pairs():
    queries, gallery, centroids = drawn(30, 32, 1), drawn(500, 32, 2), drawn(10, 32, 3)
    names = np.arange(10, dtype=np.int64)
    clusters = np.argmax(gallery @ centroids.T, axis=1).astype(np.int64)
    order = np.argsort(clusters, kind="stable")
    gallery, clusters = gallery[order], clusters[order]
    exact = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :5]
    pairs = {}
    for nprobe in (2, 10):
        running = ProbedTopK(queries, 5, probes_of(nearest_clusters(queries, centroids, names, nprobe)))
        running.update(gallery, np.arange(500), clusters)
        pairs[nprobe] = running.n_pairs
        if nprobe == 10:
            assert running.result().ids.tolist() == exact.tolist()
    assert pairs[10] == 30 * 500
    assert pairs[2] < pairs[10] / 2


def test_excluded_and_too_low_rows_are_not_found():
    gallery = drawn(40, 8, 5)
    clusters = np.zeros(40, np.int64)
    running = ProbedTopK(gallery, 40, probes_of(np.zeros((40, 1), np.int64)))
    running.update(gallery, np.arange(40), clusters, exclude=np.arange(40), min_score=0.2)
    ids, scores = running.result()
    assert all(row not in found for row, found in enumerate(ids.tolist()))
    assert scores[ids >= 0].min() >= np.float32(0.2)
    assert (ids >= 0).sum() == ((gallery @ gallery.T >= 0.2).sum() - 40)


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(1, 10))
def test_ranges_hold_every_cluster_and_are_no_more_than_asked(ids, most):
    found = ranges(np.array(sorted(ids)), most)
    assert len(found) <= most
    assert all(any(a <= i <= b for a, b in found) for i in ids)
    assert all(a in ids and b in ids for a, b in found)
    if len(found) < most:
        assert sum(b - a + 1 for a, b in found) == len(ids)


def test_nprobe_is_the_fewest_that_reach_the_recall():
    places, one = np.array([0, 0, 0, 1, 1, 2, 5, -1, -1, 3]), np.zeros(10, np.int64)
    assert choose_nprobe(one, places, 0.5, 8) == 1
    assert choose_nprobe(one, places, 0.7, 8) == 2
    assert choose_nprobe(one, places, 1.0, 8) == 6
    assert choose_nprobe(one[:0], places[:0], 0.9, 8) == 8


def test_nprobe_chosen_on_a_sample_reaches_the_recall_on_others():
    rng = np.random.default_rng(0)
    queries = np.repeat(np.arange(4000), 10)
    places = np.minimum(rng.geometric(np.repeat(rng.uniform(0.1, 0.9, 4000), 10)) - 1, 39)
    missed = 0
    for draw in range(40):
        chosen = rng.permutation(4000)[:50]
        held = np.isin(queries, chosen)
        nprobe = choose_nprobe(queries[held], places[held], 0.95, 40)
        missed += (places[~held] < nprobe).mean() < 0.95
        assert nprobe < 40, draw
    assert missed <= 4  # without the allowance for doubt it is half of them


def test_nearest_clusters_order_equal_centroids_by_id():
    centroids = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert nearest_clusters(centroids[:1], centroids, np.array([9, 4, 1]), 3).tolist() == [[4, 9, 1]]


def test_recall_counts_only_queries_with_an_answer():
    assert recall_at_k([[1], []], [[1], []]) == 1.0
    assert recall_at_k([[2, 9]], [[1, 2]]) == pytest.approx(0.5)
