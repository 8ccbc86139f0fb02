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
    q, g = queries[order], groups[order]
    tally = _tally(q, g, scores[order].astype(np.float64), sizes[order], best)
    chosen = tally.ranks <= top_k
    open_queries = [
        query for query, floor in floors.items() if _is_open(tally, (q[tally.starts] == query) & chosen, floor, top_k)
    ]
    rows = np.flatnonzero((tally.places < best) & chosen[tally.of])
    rows = rows[np.lexsort((tally.places[rows], tally.ranks[tally.of[rows]], q[rows]))]
    of = tally.of[rows]
    return RankedGroups(
        q[rows], g[rows], tally.ranks[of], tally.places[rows] + 1, order[rows], tally.means[of],
        np.array(sorted(open_queries), np.int64),
    )  # fmt: skip


class _Tally(NamedTuple):
    """Votes by group, over rows sorted by query, group and score.

    A row: ``of``, the number of its group, and ``places``, its place in it from 0. A group: ``starts``, its first row;
    ``means``, of its votes; ``complete``, whether it has all the votes it can have; ``ranks`` in its query, from 1.
    """

    of: Ints
    places: Ints
    starts: Ints
    means: NDArray[np.float32]
    complete: NDArray[np.bool_]
    ranks: Ints


def _tally(q: Ints, g: Ints, scores: NDArray[np.float64], sizes: Ints, best: int) -> _Tally:
    """The ``best`` first rows of each group vote with their scores. All arguments (n,), in the order of ``_Tally``."""
    n = len(q)
    new = np.ones(n, bool)
    new[1:] = (np.diff(q) != 0) | (np.diff(g) != 0)
    starts = np.flatnonzero(new)
    of = np.cumsum(new) - 1
    places = np.arange(n) - starts[of] if n else np.zeros(0, np.int64)
    votes, n_groups = places < best, len(starts)
    n_votes = np.bincount(of[votes], minlength=n_groups)
    sums = np.bincount(of[votes], scores[votes], n_groups)
    means: NDArray[np.float32] = (sums / np.maximum(n_votes, 1)).astype(np.float32)
    by_rank = np.lexsort((g[starts], -means, q[starts]))
    owners = q[starts][by_rank]
    ranks = np.empty(n_groups, np.int64)
    ranks[by_rank] = np.arange(n_groups) - np.searchsorted(owners, owners) + 1
    return _Tally(of, places, starts, means, n_votes >= np.minimum(best, sizes[starts]), ranks)


def _is_open(tally: _Tally, groups: NDArray[np.bool_], floor: float, top_k: int) -> bool:
    """Whether images that were not seen could change this ranking of ``groups``."""
    complete, means = tally.complete[groups], tally.means[groups]
    return bool(groups.sum() < top_k or not complete.all() or means.min() <= floor)
