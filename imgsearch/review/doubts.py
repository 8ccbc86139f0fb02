"""Where names contradict each other: clusters alike under two names, images whose neighbours have another name.

Pure functions on arrays. Labels are numbers, -1 for none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.topk.topk import RunningTopK, top_k
from imgsearch.vectors import Matrix

NEIGHBOURS = 10
LEAST_SHARE = 0.6
Labels = NDArray[np.int64]


class Rivals(NamedTuple):
    """Two clusters with different names whose centroids are as alike as their own members; positions, and a cosine."""

    first: int
    second: int
    score: float


class Contradiction(NamedTuple):
    """An image (``row``) whose neighbours have another label: which, and the share of them that have it."""

    row: int
    instead: int
    share: float


def rivals(centroids: Matrix, labels: Labels, cohesion: NDArray[np.float32], at_most: int) -> list[Rivals]:
    """Pairs of clusters with different labels, no farther apart than the members of one of them; the most alike first.

    ``centroids``: (c, dim) unit rows; ``labels``: (c,); ``cohesion``: (c,) mean cosine of the members to the centroid.
    """
    named = np.flatnonzero(labels >= 0)
    if len(named) < 2:
        return []
    ids, scores = top_k(centroids[named], centroids[named], min(NEIGHBOURS, len(named)))
    pairs: dict[tuple[int, int], float] = {}
    for place, (near, cosines) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True)):
        for other, score in zip(near, cosines, strict=True):
            a, b = sorted((int(named[place]), int(named[other])))
            if a != b and labels[a] != labels[b] and score >= min(cohesion[a], cohesion[b]):
                pairs[a, b] = score
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Rivals(a, b, score) for (a, b), score in ordered[:at_most]]


def contradictions(vectors: Matrix, labels: Labels, candidates: NDArray[np.int64]) -> list[Contradiction]:
    """Those of ``candidates`` (rows that have a label) whose nearest labelled images mostly have one other label.

    ``vectors``: (n, dim) unit rows; ``labels``: (n,). At least ``LEAST_SHARE`` of ``NEIGHBOURS`` must agree. The
    clearest come first, then in order of ``candidates``.
    """
    labelled = np.flatnonzero(labels >= 0)
    if len(labelled) < 2 or not len(candidates):
        return []
    best = RunningTopK(vectors[candidates], NEIGHBOURS)
    best.update(vectors[labelled], labelled, exclude=candidates)
    found = []
    for row, near in zip(candidates.tolist(), best.result().ids, strict=True):
        kinds, counts = np.unique(labels[near[near >= 0]], return_counts=True)
        winner = int(counts.argmax()) if len(counts) else -1
        if winner >= 0 and kinds[winner] != labels[row] and counts[winner] >= LEAST_SHARE * NEIGHBOURS:
            found.append(Contradiction(row, int(kinds[winner]), float(counts[winner] / counts.sum())))
    return sorted(found, key=lambda c: -c.share)
