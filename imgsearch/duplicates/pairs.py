"""Near-duplicates: the pairs above a threshold, and groups in which nobody is far from the one that stands for them.

Chains are how such groups go wrong: a like b and b like c does not make a like c, and in a large collection single
linkage ends in one group with everything. Here every member reaches the threshold with its group's representative.
Copies are collapsed first (``distinct``): 10,000 copies of one frame are one vector, not 50 million pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.compiled import compiled
from imgsearch.topk.engine import choose
from imgsearch.topk.prefix import choose_prefix_dim
from imgsearch.topk.ranking import Batch, PairBuffer
from imgsearch.topk.scan import scan
from imgsearch.vectors import Matrix

_BLOCK = 4096
_ROOM = 1 << 16


class Distinct(NamedTuple):
    """``rows``: (n_distinct,) int64, the first row of every distinct vector, ascending; ``of``: (n,) int64, for every
    row the index into ``rows`` of the vector it equals."""

    rows: NDArray[np.int64]
    of: NDArray[np.int64]


class Pairs(NamedTuple):
    """``left`` and ``right``: (n_pairs,) int64 ids, left < right, sorted; ``scores``: (n_pairs,) float32."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    scores: NDArray[np.float32]


class Groups(NamedTuple):
    """``representative``: (n,) int64, for every row the row that stands for its group (itself, if it does);
    ``scores``: (n,) float32, with the representative; 1 for itself."""

    representative: NDArray[np.int64]
    scores: NDArray[np.float32]


def distinct(vectors: Matrix) -> Distinct:
    """Rows with the same bits collapsed into one. ``vectors``: (n, dim) float32 → ``Distinct``."""
    n, dim = vectors.shape
    if n == 0 or dim == 0:
        return Distinct(np.arange(min(n, 1)), np.zeros(n, np.int64))
    keys = np.ascontiguousarray(vectors, dtype=np.float32).view(np.dtype((np.void, dim * 4))).reshape(n)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return Distinct(first[order].astype(np.int64), place[inverse.reshape(n)].astype(np.int64))


def pairs_above(
    left: Matrix, left_ids: NDArray[np.int64], right: Matrix, right_ids: NDArray[np.int64], threshold: float
) -> Pairs:
    """Every pair of a row of ``left`` and a row of ``right`` with score ``threshold`` or more, each pair once.

    ``left``: (n, dim) float32 with (n,) int64 ids, ``right`` likewise. The two blocks are either the same (equal ids),
    or have no id in common. Memory: some 60 bytes a pair found while they are sorted.

    Raises ``ValueError`` when shapes disagree, a row is not finite, the threshold is NaN, or blocks overlap in part.
    """
    left, right = np.ascontiguousarray(left, np.float32), np.ascontiguousarray(right, np.float32)
    left_ids, right_ids = np.ascontiguousarray(left_ids, np.int64), np.ascontiguousarray(right_ids, np.int64)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"blocks of {left.shape} and {right.shape} do not pair up")
    if left_ids.shape != (len(left),) or right_ids.shape != (len(right),):
        raise ValueError(f"{left_ids.shape} and {right_ids.shape} ids for {len(left)} and {len(right)} rows")
    if np.isnan(threshold):
        raise ValueError("the threshold is not a number")
    same = np.array_equal(left_ids, right_ids)
    if not same and len(np.intersect1d(left_ids, right_ids)):
        raise ValueError("the blocks overlap in part: pairs would come twice")
    one, other, scores = pairs_between(left, left_ids, right, right_ids, threshold, upper=same)
    low, high = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((high, low))
    return Pairs(low[order], high[order], scores[order])


def pairs_between(
    left: Matrix, left_ids: NDArray[np.int64], right: Matrix, right_ids: NDArray[np.int64], threshold: float,
    *,
    upper: bool = False,
) -> Pairs:  # fmt: skip
    """As ``pairs_above`` without its checks: (left id, right id, score) as they come, not sorted.

    ``upper``: the blocks are one and the same, and each pair is wanted once.
    """
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for i in range(0, len(left), _BLOCK):
        for j in range(i if upper else 0, len(right), _BLOCK):
            a, b = slice(i, i + _BLOCK), slice(j, j + _BLOCK)
            one, other, scores = _block_pairs(left[a], left_ids[a], right[b], right_ids[b], threshold)
            once = one < other if upper and i == j else slice(None)
            parts.append(Pairs(one[once], other[once], scores[once]))
    return Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def group(n: int, pairs: Pairs, weights: NDArray[np.int64] | None = None) -> Groups:
    """Groups without chains over rows ``0 … n - 1``, from their pairs above a threshold (ids are the rows).

    Representatives are taken greedily: the row with the most neighbours first (each counts ``weights``, (n,) int64:
    how many copies it stands for), then the lowest row; a row with a representative among its neighbours cannot be
    one. Then every other row joins the representative that it scores best with, the lowest row of equals. So no
    representative is a neighbour of another, and every member reaches the threshold with its own.

    Raises ``ValueError`` when a pair names a row outside ``0 … n - 1``.
    """
    left, right, scores = pairs
    if len(left) and (left.min() < 0 or right.max() >= n or right.min() < 0 or left.max() >= n):
        raise ValueError(f"a pair names a row outside 0 to {n - 1}")
    weights = np.ones(n, np.int64) if weights is None else np.ascontiguousarray(weights, np.int64)
    sources, targets = np.concatenate([left, right]), np.concatenate([right, left])
    priority = weights.copy()
    np.add.at(priority, sources, weights[targets])
    by_source = np.lexsort((targets, sources))
    starts = np.searchsorted(sources[by_source], np.arange(n + 1))
    order = np.lexsort((np.arange(n), -priority))
    chosen = np.zeros(n, np.bool_)
    _choose(order, starts, targets[by_source], chosen)
    representative, best = np.where(chosen, np.arange(n), -1), np.ones(n, np.float32)
    both = np.concatenate([scores, scores])[by_source].astype(np.float32)
    _join(starts, targets[by_source], both, chosen, representative, best)
    return Groups(representative, best)


def representatives(
    left: NDArray[np.int64], right: NDArray[np.int64], priority: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(n,) whether each row stands for a group, by the rule of ``group`` with given priorities.

    ``left``, ``right``: (n_pairs,) rows that are neighbours, each pair once or in both orders; ``priority``: (n,)
    int64, greatest first, the lowest row of equals.
    """
    n = len(priority)
    sources, targets = np.concatenate([left, right]), np.concatenate([right, left])
    by_source = np.argsort(sources, kind="stable")
    starts = np.searchsorted(sources[by_source], np.arange(n + 1))
    chosen = np.zeros(n, np.bool_)
    _choose(np.lexsort((np.arange(n), -priority)), starts, targets[by_source], chosen)
    return chosen


@compiled
def _choose(order, starts, targets, chosen):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    reached = np.zeros(len(order), np.bool_)
    for row in order:
        if not reached[row]:
            chosen[row] = True
            for edge in range(starts[row], starts[row + 1]):
                reached[targets[edge]] = True


@compiled
def _join(starts, targets, scores, chosen, representative, best):  # type: ignore[no-untyped-def]  # compiled
    for row in range(len(chosen)):
        if not chosen[row]:
            for edge in range(starts[row], starts[row + 1]):  # neighbours ascend: the first of equals is the lowest
                if chosen[targets[edge]] and (representative[row] < 0 or scores[edge] > best[row]):
                    representative[row], best[row] = targets[edge], scores[edge]


def _block_pairs(
    left: Matrix, left_ids: NDArray[np.int64], right: Matrix, right_ids: NDArray[np.int64], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """(left ids, right ids, scores) of one pair of blocks, unsorted."""
    thresholds = np.full(len(left), threshold, np.float32)
    thresholds = np.where(thresholds < threshold, np.nextafter(thresholds, np.float32(np.inf)), thresholds)
    engine = choose()
    packed = engine.pack(left, choose_prefix_dim(left, right, thresholds, engine.costs))
    batch, room = Batch(right, right_ids, left_ids), _ROOM
    while True:
        queries, rows, scores = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.float32)
        buffer = PairBuffer(queries, rows, scores, np.zeros(1, np.int64), thresholds)
        if scan(left, packed, batch, 0, len(right), buffer) < 0:
            raise ValueError("a row of the right block is not finite")
        count = int(buffer.n_found[0])
        if count <= room:
            break
        room = count
    return left_ids[queries[:count]], right_ids[rows[:count]], scores[:count]
