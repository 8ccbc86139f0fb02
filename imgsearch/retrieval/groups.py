"""From ranked images to ranked things: the best-scoring views of a group vote for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class RankedGroups(NamedTuple):
    """Supporting images, one row each, by query, then rank of the group, then rank of the image in the group.

    ``queries``, ``groups``, ``ranks`` (of the group, from 1), ``image_ranks`` (from 1), ``rows`` (of the input): int64;
    ``group_scores``: float32. ``open_queries``: queries whose ranking images that were not seen could still change.
    """

    queries: Ints
    groups: Ints
    ranks: Ints
    image_ranks: Ints
    rows: Ints
    group_scores: NDArray[np.float32]
    open_queries: Ints


def rank_groups(
    queries: Ints,
    groups: Ints,
    sizes: Ints,
    ids: Ints,
    scores: NDArray[np.float32],
    floors: dict[int, float],
    top_k: int,
    best: int,
) -> RankedGroups:
    """The ``top_k`` groups of each query, ranked by the mean score of their ``best`` best images (1: their best image).

    One input row an image of a group that a query found: (n,) each; ``sizes`` is how many images the group has in all.
    A group with fewer voters is ranked by those it has. ``floors``: the score that no unseen image of the query can
    exceed; a query that is not named there has seen all. Equal scores: the lower group number first.

    An unseen image can only lower the mean of a group that lacks voters, or bring up a group nobody has seen, so the
    ranking is final where the first ``top_k`` groups lack none and score above the floor.
    """
    order = np.lexsort((ids, -scores.astype(np.float64), groups, queries))
    q, g, s = queries[order], groups[order], scores[order].astype(np.float64)
    n = len(order)
    new = np.ones(n, bool)
    new[1:] = (np.diff(q) != 0) | (np.diff(g) != 0)
    starts = np.flatnonzero(new)
    of = np.cumsum(new) - 1
    place = np.arange(n) - starts[of] if n else np.zeros(0, np.int64)
    votes = place < best
    n_groups = len(starts)
    n_votes = np.bincount(of[votes], minlength=n_groups)
    sums = np.bincount(of[votes], s[votes], n_groups)
    means: NDArray[np.float32] = (sums / np.maximum(n_votes, 1)).astype(np.float32)
    complete = n_votes >= np.minimum(best, sizes[order][starts])
    by_rank = np.lexsort((g[starts], -means, q[starts]))
    rank_of = np.empty(n_groups, np.int64)
    owners = q[starts][by_rank]
    first_of = np.searchsorted(owners, owners)
    rank_of[by_rank] = np.arange(n_groups) - first_of + 1
    chosen = rank_of <= top_k
    open_queries = [
        query
        for query, floor in floors.items()
        if _is_open((q[starts] == query) & chosen, complete, means, floor, top_k)
    ]
    keep = np.flatnonzero(votes & chosen[of])
    keep = keep[np.lexsort((place[keep], rank_of[of[keep]], q[keep]))]
    return RankedGroups(
        q[keep], g[keep], rank_of[of[keep]], place[keep] + 1, order[keep], means[of[keep]],
        np.array(sorted(open_queries), np.int64),
    )  # fmt: skip


def _is_open(
    mine: NDArray[np.bool_], complete: NDArray[np.bool_], means: NDArray[np.float32], floor: float, top_k: int
) -> bool:
    return bool(mine.sum() < top_k or not complete[mine].all() or means[mine].min() <= floor)
