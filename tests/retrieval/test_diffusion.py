"""Diffusion in neighbourhoods, against dense matrices and sets written down naively. No Spark is started."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.retrieval import diffusion
from imgsearch.retrieval.diffusion import Seeds, ranking, spread, unlisted
from imgsearch.retrieval.graph import Lists, lists_of, reciprocal
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import unit


def things(n: int, n_things: int, seed: int, dim: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, n_things, n)
    return unit((rng.normal(size=(n_things, dim))[classes] + rng.normal(size=(n, dim))).astype(np.float32)), classes


def naive_graph(vectors: np.ndarray, degree: int) -> np.ndarray:
    """(n, n) weights: cosine cubed where each is among the ``degree`` nearest of the other."""
    scores = (vectors.astype(np.float64) @ vectors.T.astype(np.float64)).clip(-1, 1)
    np.fill_diagonal(scores, -np.inf)
    near = np.zeros(scores.shape, bool)
    np.put_along_axis(near, np.argsort(-scores, axis=1, kind="stable")[:, :degree], values=True, axis=1)
    return np.where(near & near.T, np.clip(scores, 0, None) ** 3, 0)


def naive_spread(
    weights: np.ndarray, order: list[list[int]], seeds: list[int], given_by: list[float], own: int, hops: int, most: int
) -> dict[int, float]:
    """Image → value. ``order``: each image's neighbours, best first."""
    nodes = [s for s in dict.fromkeys(seeds) if s not in (own, NOBODY)][:most]
    level = nodes
    for _ in range(hops):
        reached = [j for i in level for j in order[i]]
        level = [j for j in dict.fromkeys(reached) if j not in nodes and j != own][: most - len(nodes)]
        nodes = nodes + level
    inner = weights[np.ix_(nodes, nodes)]
    roots = np.sqrt(inner.sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.nan_to_num(inner / np.outer(roots, roots))
    y = np.zeros(len(nodes))
    for seed, value in zip(seeds, given_by, strict=True):
        if seed in nodes:
            y[nodes.index(seed)] = 0.1 * max(value, 0) ** 3
    f = y
    for _ in range(20):
        f = 0.9 * step @ f + y
    return {node: value for node, value in zip(nodes, f.tolist(), strict=True) if value > 0}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), hops=st.integers(1, 4), most=st.integers(3, 60), degree=st.integers(2, 8))
def test_it_is_the_naive_diffusion_of_the_neighbourhood(seed, hops, most, degree):
    vectors, _ = things(80, 6, seed)
    lists, weights = lists_of(vectors, 10), naive_graph(vectors, degree)
    graph = reciprocal(lists, degree)
    order = [[j for j in lists.neighbours[i, :degree].tolist() if weights[i, j] > 0] for i in range(80)]
    own = np.arange(0, 80, 7)
    seeds = Seeds(lists.neighbours[own, :3], lists.scores[own, :3], own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "HOPS", hops)
        patch.setattr(diffusion, "MOST", most)
        keys = spread(graph, seeds)
        assert not len(unlisted(graph, seeds))
    edges = [[j for j in lists.neighbours[i, :degree].tolist() if i in lists.neighbours[j, :degree]] for i in range(80)]
    assert keys.shape == (len(own), most)
    for row, query in enumerate(own.tolist()):
        values = naive_spread(weights, edges, seeds.keys[row].tolist(), seeds.scores[row].tolist(), query, hops, most)
        mine = [key for key in keys[row].tolist() if key != NOBODY]
        assert set(mine) == set(values), (order, values)
        np.testing.assert_allclose([values[key] for key in mine], sorted(values.values(), reverse=True), rtol=1e-6)


def test_lists_that_are_read_as_they_are_needed_give_the_answer_of_all_lists():
    """And the answer to a query does not depend on the queries beside it."""
    vectors, _ = things(600, 20, 5)
    whole = lists_of(vectors, 20)
    graph = reciprocal(whole)
    own = np.array([3, 77, 200, 421])
    seeds = Seeds(whole.neighbours[own, :3], whole.scores[own, :3], own)
    expected = spread(graph, seeds)
    for rows in (np.arange(4), np.array([1]), np.array([2, 0])):
        some = Seeds(*(part[rows] for part in seeds))
        lists, n_reads = Lists.empty(20), 0
        while len(keys := unlisted(reciprocal(lists), some)):
            lists, n_reads = lists.joined(whole.some(keys)), n_reads + 1
        assert n_reads <= diffusion.HOPS + 2
        assert len(lists.keys) < 600
        np.testing.assert_array_equal(spread(reciprocal(lists), some), expected[rows])


def test_a_chain_is_followed_to_images_that_the_cosine_would_not_reach():
    angles = np.linspace(0, np.pi * 0.9, 30)
    chain = np.stack([np.cos(angles), np.sin(angles), np.zeros(30)], axis=1)
    others = unit(np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32) * [0.3, 0.3, 1])
    vectors = np.concatenate([chain, others]).astype(np.float32)
    lists = lists_of(vectors, 10)
    seeds = Seeds(lists.neighbours[:1, :3], lists.scores[:1, :3], np.array([0]))
    keys = spread(reciprocal(lists, 4), seeds)[0]
    reached = keys[keys != NOBODY]
    assert set(reached.tolist()) >= set(range(1, 10))
    assert (reached < 30).all()


def test_a_query_without_seeds_and_a_graph_without_lists_reach_nothing():
    nobody = Seeds(np.full((2, 3), NOBODY), np.zeros((2, 3), np.float32), np.full(2, NOBODY))
    assert (spread(reciprocal(Lists.empty(20)), nobody) == NOBODY).all()
    vectors, _ = things(30, 3, 1)
    graph = reciprocal(lists_of(vectors, 10))
    assert (spread(graph, nobody) == NOBODY).all()
    assert not len(unlisted(graph, nobody))


def test_first_places_stay_and_nobody_comes_twice():
    first, more = np.array([[4, 9, NOBODY], [1, 2, 3]]), np.array([[9, 7, 4, 5], [8, 3, NOBODY, NOBODY]])
    assert ranking(first, more).tolist() == [[4, 9, 7, 5, -1, -1, -1], [1, 2, 3, 8, -1, -1, -1]]


def test_an_image_without_a_list_has_an_empty_one():
    lists = Lists(np.array([2, 5, 9]), np.array([[5], [2], [5]]), np.array([[0.5], [0.5], [0.1]], np.float32))
    some = lists.some(np.array([1, 5, 9, 11]))
    assert some.keys.tolist() == [1, 5, 9, 11]
    assert some.neighbours[:, 0].tolist() == [NOBODY, 2, 5, NOBODY]
    assert Lists.empty(1).some(np.array([3])).neighbours.tolist() == [[NOBODY]]
    assert lists.covering(np.array([[4, 5, NOBODY]])).keys.tolist() == [2, 4, 5, 9]
    assert lists.covering(np.array([2, 9])) is lists
