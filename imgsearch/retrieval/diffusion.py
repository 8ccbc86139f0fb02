"""All pictures of a thing: a query's first matches hand on what they have to their neighbours, step by step.

Diffusion on the graph of reciprocal neighbours (Zhou et al., "Ranking on data manifolds", 2003; for images Iscen et
al., "Efficient diffusion on region manifolds", CVPR 2017), truncated: a query sees its neighbourhood, the images within
``HOPS`` edges of its ``SEEDS`` nearest ones and at most ``MOST`` of them, and nothing else. So what it finds depends on
the query and the graph, not on the queries beside it, and lists of these images are all that must be read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imgsearch.compiled import compiled
from imgsearch.retrieval.graph import NO_LIST, UNSEEN, Graph, Lists, reciprocal
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Ids, Matrix

#: Nearest images by which a query enters the graph.
SEEDS = 3
#: Edges from a seed to the farthest image of a neighbourhood.
HOPS = 6
#: Images of a neighbourhood.
MOST = 300
#: Share of an image's value that comes from its neighbours; the rest is what the query gave it.
ALPHA = 0.9
STEPS = 20
#: First places by cosine that stay as they are.
FIRST = 3


class Seeds(NamedTuple):
    """Where queries enter: ``keys`` (n, s) int64, the nearest images, best first, ``NOBODY`` where there are fewer;
    ``scores`` (n, s) float32 cosines; ``own`` (n,) int64, the image that a query must not find, ``NOBODY`` for none:
    it is no part of the query's graph."""

    keys: Ids
    scores: Matrix
    own: Ids

    def some(self, rows: slice) -> Seeds:
        """Those of some of the queries."""
        return Seeds(self.keys[rows], self.scores[rows], self.own[rows])


def unlisted(graph: Graph, seeds: Seeds) -> Ids:
    """Keys whose lists the neighbourhoods of ``seeds`` still need, ascending; none when ``spread`` may be called.

    Begin with a graph without lists, and read the lists of what this returns until it returns nothing: at most
    ``HOPS`` + 2 times.
    """
    seed_rows = graph.rows_of(seeds.keys)
    wanted = [seeds.keys[seed_rows == NOBODY]]
    if len(graph.keys):
        looked_at = np.zeros(len(graph.keys), np.bool_)
        _look(graph, seed_rows, graph.rows_of(seeds.own), HOPS, MOST, looked_at)
        wanted.append(graph.neighbours[looked_at][graph.rows[looked_at] == NO_LIST])
    keys = np.unique(np.concatenate(wanted))
    return keys[keys != NOBODY]


def spread(graph: Graph, seeds: Seeds) -> Ids:
    """(n_queries, ``MOST``) int64: the images of each query's neighbourhood, those with the greatest value first, then
    by key; ``NOBODY`` after the last. Seeds are among them, images that nothing reached are not.

    The values are ``STEPS`` steps of f ← ``ALPHA`` · D⁻½ W D⁻½ f + (1 − ``ALPHA``) · y, with W the weights of the edges
    (cosine³) inside the neighbourhood, D its row sums, and y the weights of the query's edges to its seeds.
    """
    n = len(seeds.keys)
    rows, values = np.full((n, MOST), NOBODY), np.full((n, MOST), -np.inf)
    if len(graph.keys):
        seed_rows, own = graph.rows_of(seeds.keys), graph.rows_of(seeds.own)
        _spread(graph, seed_rows, seeds.scores, own, HOPS, ALPHA, STEPS, rows, values)
    order = np.lexsort((rows, -values), axis=1)
    rows, values = np.take_along_axis(rows, order, 1), np.take_along_axis(values, order, 1)
    reached = values > 0
    keys = graph.keys[np.where(reached, rows, 0)] if len(graph.keys) else rows
    return np.where(reached, keys, NOBODY)


def ranking(first: Ids, spread_keys: Ids) -> Ids:
    """What comes before the cosine's own order: (n, a) ``first``, then (n, b) ``spread_keys`` without those.

    Returns (n, a + b) int64, ``NOBODY`` after the last of each row.
    """
    repeated = (spread_keys[:, :, None] == first[:, None, :]).any(axis=2)
    keys = np.concatenate([first, np.where(repeated, NOBODY, spread_keys)], axis=1)
    order = np.argsort(keys == NOBODY, axis=1, kind="stable")
    return np.take_along_axis(keys, order, 1)


def spread_each(lists: Lists, rows: Ids) -> Ids:
    """What comes first in a leave-one-out test: ``ranking`` for the images ``rows`` (m,), each with its own left out.

    ``lists``: of all images, by row number. Returns (m, ``FIRST`` + ``MOST``) int64 row numbers.
    """
    first = lists.neighbours[rows, : max(FIRST, SEEDS)]
    seeds = Seeds(first[:, :SEEDS], lists.scores[rows, :SEEDS], rows)
    return ranking(first[:, :FIRST], spread(reciprocal(lists), seeds))


@compiled
def _look_up(graph, node):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Fill ``graph.rows[node]``."""
    if graph.rows[node, 0] != UNSEEN:
        return
    for e in range(graph.rows.shape[1]):
        key = graph.neighbours[node, e]
        row = np.searchsorted(graph.keys, key)
        if key < 0:
            graph.rows[node, e] = NOBODY
        elif row == len(graph.keys) or graph.keys[row] != key:
            graph.rows[node, e] = NO_LIST
        else:
            graph.rows[node, e] = NOBODY
            for back in graph.neighbours[row]:
                if back == graph.keys[node]:
                    graph.rows[node, e] = row


@compiled
def _walk(graph, seeds, own, hops, nodes, place):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Breadth first from ``seeds``: fills ``nodes``, and ``place`` with 1 + their place; how many, how many looked at.

    ``place`` is all zeros before, and must be made so again after.
    """
    n, most = 0, len(nodes)
    for row in seeds:
        if row >= 0 and row != own and place[row] == 0 and n < most:
            nodes[n], n = row, n + 1
            place[row] = n
    start, hop = 0, 0
    while start < n and hop < hops:
        stop = n
        for at in range(start, stop):
            if n == most:
                return n, at
            _look_up(graph, nodes[at])
            for row in graph.rows[nodes[at]]:
                if row >= 0 and row != own and place[row] == 0 and n < most:
                    nodes[n], n = row, n + 1
                    place[row] = n
        start, hop = stop, hop + 1
    return n, start


@compiled
def _look(graph, seeds, own, hops, most, looked_at):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    nodes, place = np.empty(most, np.int64), np.zeros(len(graph.keys), np.int64)
    for query in range(len(seeds)):
        n, n_looked = _walk(graph, seeds[query], own[query], hops, nodes, place)
        for at in range(n):
            place[nodes[at]] = 0
            if at < n_looked:
                looked_at[nodes[at]] = True


@compiled
def _spread(graph, seeds, seed_scores, own, hops, alpha, steps, out_rows, out_values):  # type: ignore[no-untyped-def]
    most, degree = out_rows.shape[1], graph.rows.shape[1]
    place = np.zeros(len(graph.keys), np.int64)
    inner, edges = np.empty((most, degree), np.int64), np.empty((most, degree))
    for query in range(len(seeds)):
        nodes, value = out_rows[query], out_values[query]
        n, _ = _walk(graph, seeds[query], own[query], hops, nodes, place)
        given = np.zeros(n)
        for s in range(seeds.shape[1]):
            if seeds[query, s] >= 0 and place[seeds[query, s]] > 0:
                given[place[seeds[query, s]] - 1] = (1 - alpha) * _weight(seed_scores[query, s])
        _inside(graph, nodes[:n], place, inner, edges)
        value[:n] = given
        _step_on(inner, edges, alpha, steps, given, value[:n])
        for at in range(n):
            place[nodes[at]] = 0


@compiled
def _weight(score):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """A cosine → the weight of an edge: its cube, and none below 0."""
    value = max(np.float64(score), 0.0)
    return value * value * value


@compiled
def _inside(graph, nodes, place, inner, edges):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Edges between ``nodes``: ``inner`` the other's place or −1, ``edges`` D⁻½ W D⁻½."""
    degrees = np.zeros(len(nodes))
    for at in range(len(nodes)):
        node = nodes[at]
        _look_up(graph, node)
        for e in range(graph.rows.shape[1]):
            row = graph.rows[node, e]
            inner[at, e] = place[row] - 1 if row >= 0 else -1
            edges[at, e] = _weight(graph.scores[node, e])
            if inner[at, e] >= 0:
                degrees[at] += edges[at, e]
    for at in range(len(nodes)):
        for e in range(graph.rows.shape[1]):
            if inner[at, e] >= 0 and edges[at, e] > 0:
                edges[at, e] /= np.sqrt(degrees[at] * degrees[inner[at, e]])
            else:
                inner[at, e] = -1


@compiled
def _step_on(inner, edges, alpha, steps, given, value):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    n = len(given)
    before = np.empty(n)
    for _ in range(steps):
        before[:] = value
        for at in range(n):
            total = 0.0
            for e in range(inner.shape[1]):
                if inner[at, e] >= 0:
                    total += edges[at, e] * before[inner[at, e]]
            value[at] = alpha * total + given[at]
