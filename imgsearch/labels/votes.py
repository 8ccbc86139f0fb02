"""Names spread to the images nobody looked at: a vote of the nearest named images and clusters, wherever they lie.

An image's own name comes first (``label`` sees to that). Else the ``VOTERS`` nearest of all named images vote,
across clusters. A cluster that a person named votes twice: by its medoid, which stands for it and counts as a named
image, and by its centroid. The cosine to a centroid is squared, because a mean lies nearer to every image than images
lie to each other: about the root of their cosine.

The vote is the weighted nearest-neighbour rule of Dudani, "The distance-weighted k-nearest-neighbor rule" (1976), with
weights cosine⁸: the nearest decide. Raw confidence is the winner's share of the weight times its greatest cosine, so
one distant image makes no sure vote. What a raw confidence is worth is measured: see ``confidence``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.topk.topk import RunningTopK
from imgsearch.vectors import Ids, Matrix

ABSTAIN = -1
"""The label of an image that nothing named; also no voter, no runner-up."""

ORIGINS = ("none", "person", "vote", "cluster")
"""Where a label is from: nowhere, its own name, named images nearby, its cluster's name and nobody else's."""

VOTERS = 5
SHARPNESS = 8
"""A vote weighs cosine to this power."""


class Voters(NamedTuple):
    """Named images and named clusters.

    ``vectors`` (m, dim) unit rows of named images with ``labels`` (m,) ≥ 0; ``is_own`` (m,) bool: a person named the
    image itself, and not only the cluster whose medoid it is. ``centroids`` (c, dim) unit rows of named clusters with
    ``cluster_labels`` (c,) ≥ 0; ``medoids`` (c,): the place in ``vectors`` of the medoid that votes for it, or −1.
    """

    vectors: Matrix
    labels: Ids
    is_own: NDArray[np.bool_]
    centroids: Matrix
    cluster_labels: Ids
    medoids: Ids


class Votes(NamedTuple):
    """The result for n images: ``labels`` and ``runner_up`` (n,) int64 or −1; ``confidence`` (n,) float32, 0..1, raw.

    ``voters`` (n, top_k) int64, nearest first: below m a named image, from m on the named cluster with this number
    minus m, −1 for none. ``nearest`` (n,) float32: the greatest score of a voter, 0 where there is none.
    """

    labels: Ids
    confidence: NDArray[np.float32]
    runner_up: Ids
    voters: Ids
    nearest: NDArray[np.float32]


def vote(
    vectors: Matrix, voters: Voters, own: Ids | None = None, own_cluster: Ids | None = None, top_k: int = VOTERS
) -> Votes:
    """The vote about each of ``vectors`` (n, dim), unit rows.

    ``own`` and ``own_cluster`` (n,): the named image and the named cluster that have no vote on a row, −1 for none.
    Equal scores in order of position, images before clusters; equal weights to the lower label. Only voters with a
    positive cosine count. Raises ``ValueError`` for a negative label, or arrays that do not agree.
    """
    if (voters.labels < 0).any() or (voters.cluster_labels < 0).any():
        raise ValueError("a named image or cluster has a negative label")
    if len(voters.labels) != len(voters.vectors) or len(voters.cluster_labels) != len(voters.centroids):
        raise ValueError("voters and their labels differ in number")
    places, scores = _nearest(vectors, voters, own, own_cluster, top_k)
    every_label = np.concatenate([voters.labels, voters.cluster_labels, [ABSTAIN]])
    return _count(every_label[places], places, scores)


def held_out(voters: Voters, rows: Ids) -> Votes:
    """The vote about named images (``rows``: places in ``voters.vectors``), each without itself.

    A medoid that was only named with its cluster is voted on without its cluster too.
    """
    own_cluster = np.full(len(voters.vectors), -1, np.int64)
    places = voters.medoids[voters.medoids >= 0]
    own_cluster[places] = np.flatnonzero(voters.medoids >= 0)
    own_cluster[voters.is_own] = -1
    return vote(voters.vectors[rows], voters, rows, own_cluster[rows])


def origins(votes: Votes, voters: Voters, cluster_labels: Ids) -> NDArray[np.int8]:
    """(n,) places in ``ORIGINS``. ``cluster_labels`` (n,): the name of each image's own cluster, −1 for none.

    ``cluster``: the label is the own cluster's, and no image that a person named itself voted for it.
    """
    m = len(voters.vectors)
    of_image = (votes.voters >= 0) & (votes.voters < m)
    place = np.where(of_image, votes.voters, 0)
    backs = np.zeros(votes.voters.shape, bool)
    if m:
        backs = of_image & voters.is_own[place] & (voters.labels[place] == votes.labels[:, None])
    by_cluster = (votes.labels == cluster_labels) & ~backs.any(axis=1)
    none, of_vote, of_cluster = (ORIGINS.index(name) for name in ("none", "vote", "cluster"))
    return np.where(votes.labels < 0, none, np.where(by_cluster, of_cluster, of_vote)).astype(np.int8)


def _nearest(
    vectors: Matrix, voters: Voters, own: Ids | None, own_cluster: Ids | None, top_k: int
) -> tuple[Ids, NDArray[np.float64]]:
    """Places (n, top_k) and scores, best first; −1 and 0 where there are no more."""
    images, clusters = RunningTopK(vectors, top_k), RunningTopK(vectors, top_k)
    images.update(voters.vectors, np.arange(len(voters.vectors)), own)
    clusters.update(voters.centroids, np.arange(len(voters.centroids)), own_cluster)
    by_image, by_cluster = images.result(), clusters.result()
    places = np.concatenate([
        by_image.ids, np.where(by_cluster.ids >= 0, by_cluster.ids + len(voters.vectors), -1)
    ], axis=1)  # fmt: skip
    scores = np.concatenate([
        np.clip(by_image.scores.astype(np.float64), 0, 1), np.clip(by_cluster.scores.astype(np.float64), 0, 1) ** 2
    ], axis=1)  # fmt: skip
    places = np.where(scores > 0, places, -1)
    order = np.lexsort((np.where(places < 0, np.iinfo(np.int64).max, places), -scores), axis=1)[:, :top_k]
    return np.take_along_axis(places, order, 1), np.take_along_axis(scores, order, 1)


def _count(labels: Ids, places: Ids, scores: NDArray[np.float64]) -> Votes:
    """``labels``, ``places`` and ``scores`` (n, top_k) of the voters → the vote."""
    weights = scores**SHARPNESS
    same = labels[:, :, None] == labels[:, None, :]
    of_label = np.where(labels >= 0, (same * weights[:, None, :]).sum(axis=2), -1.0)
    winner = _heaviest(labels, of_label)
    others = np.where(labels == winner[:, None], -1.0, of_label)
    total = weights.sum(axis=1)
    share = of_label.max(axis=1, initial=0.0) / np.where(total > 0, total, 1.0)
    near = np.where(labels == winner[:, None], scores, 0.0).max(axis=1, initial=0.0)
    confidence = np.where(winner >= 0, share * near, 0.0)
    nearest = scores.max(axis=1, initial=0.0).astype(np.float32)
    return Votes(winner, confidence.astype(np.float32), _heaviest(labels, others), places, nearest)


def _heaviest(labels: Ids, weights: NDArray[np.float64]) -> Ids:
    """(n,) the label with the greatest positive weight, the lower of equals; −1 where there is none."""
    best = weights.max(axis=1, initial=0.0)[:, None]
    first = np.where((weights >= best) & (weights > 0), labels, np.iinfo(np.int64).max).min(
        axis=1, initial=np.iinfo(np.int64).max
    )
    return np.where(first == np.iinfo(np.int64).max, ABSTAIN, first)
