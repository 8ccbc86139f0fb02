"""Labels given by a person spread to the images nobody looked at, each with a confidence, or an abstention.

An image's own name comes first; then the vote of the named images nearest to it in its cluster; then its cluster's
name; else it has none. The vote is the distance-weighted nearest-neighbour rule (Dudani 1976) with cosine weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.core.vectors import Matrix

ABSTAIN = -1
"""The label of an image that nobody and nothing named."""

ORIGINS = ("none", "person", "vote", "cluster")
"""What ``Labels.origins`` counts: nothing, its own name, named images nearby, its cluster's name."""

VOTERS = 5
MIN_CONFIDENCE = 0.6


class Named(NamedTuple):
    """Images with a person's name: ``vectors`` (m, dim) unit rows, ``cluster_ids`` (m,), ``labels`` (m,) ≥ 0."""

    vectors: Matrix
    cluster_ids: NDArray[np.int32]
    labels: NDArray[np.int64]


class Labels(NamedTuple):
    """``labels`` (n,) int64, −1 = abstained; ``confidence`` (n,) float32, 0..1; ``origins`` (n,) int8 into ``ORIGINS``.

    Confidence is 1 for an own name; the winner's share of the vote's weight; for a cluster's name the share of the
    cluster's names that agree, its own counted as one; 0 where abstained.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    origins: NDArray[np.int8]


def spread(
    vectors: Matrix, cluster_ids: NDArray[np.int32], own_labels: NDArray[np.int64],
    named: Named, cluster_labels: NDArray[np.int64], outlier: NDArray[np.bool_] | None = None,
    top_k: int = VOTERS, min_confidence: float = MIN_CONFIDENCE, min_score: float = 0.0,
) -> Labels:  # fmt: skip
    """Labels of a batch: ``vectors`` (n, dim) unit rows in ``cluster_ids`` (n,), ``own_labels`` (n,) or −1.

    ``cluster_labels`` (n_clusters,) or −1. Up to ``top_k`` named images of the same cluster vote, those with a cosine
    above ``min_score``; equal cosines in order of position in ``named``, equal votes to the lower label. A vote below
    ``min_confidence`` does not count and the cluster's name is tried; so does that, if below. An ``outlier`` of its
    cluster does not take the cluster's name.

    Raises ``ValueError`` for a negative label in ``named``, or arrays of unequal length.
    """
    n = len(vectors)
    lengths = {len(cluster_ids), len(own_labels), n if outlier is None else len(outlier)}
    if lengths != {n} or len({len(values) for values in named}) != 1:
        raise ValueError(f"{n} vectors with {sorted(lengths)} clusters, labels and outlier marks")
    if (named.labels < 0).any():
        raise ValueError("a named image has a negative label")
    labels = np.full(n, ABSTAIN, np.int64)
    confidence = np.zeros(n, np.float32)
    origins = np.zeros(n, np.int8)

    def settle(rows: NDArray[np.int64], label: NDArray[np.int64], share: NDArray[np.float64], origin: str) -> None:
        sure = (label >= 0) & (share >= min_confidence)
        labels[rows[sure]], confidence[rows[sure]] = label[sure], share[sure]
        origins[rows[sure]] = ORIGINS.index(origin)

    everyone = np.arange(n)
    settle(everyone, np.asarray(own_labels), np.ones(n), "person")
    for cluster in np.unique(cluster_ids[labels == ABSTAIN]):
        rows = np.flatnonzero((cluster_ids == cluster) & (labels == ABSTAIN))
        peers = np.flatnonzero(named.cluster_ids == cluster)
        if len(peers):
            winner, share = vote(vectors[rows] @ named.vectors[peers].T, named.labels[peers], top_k, min_score)
            settle(rows, winner, share, "vote")
        name = int(cluster_labels[cluster])
        if name >= 0:
            agreeing = (1 + (named.labels[peers] == name).sum()) / (1 + len(peers))
            rows = rows[labels[rows] == ABSTAIN]
            rows = rows if outlier is None else rows[~outlier[rows]]
            settle(rows, np.full(len(rows), name), np.full(len(rows), agreeing), "cluster")
    return Labels(labels, confidence, origins)


def vote(
    scores: NDArray[np.float32], labels: NDArray[np.int64], top_k: int, min_score: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Winner (n,) int64, −1 where nobody may vote, and its share (n,) of the weight, from ``scores`` (n, m) to m named.

    >>> winner, share = vote(np.array([[0.9, 0.6, 0.3]], np.float32), np.array([7, 8, 8]), top_k=2)
    >>> winner.tolist(), share.round(2).tolist()
    ([7], [0.6])
    """
    kinds, kind = np.unique(labels, return_inverse=True)
    voters = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    weights = np.take_along_axis(scores, voters, axis=1).astype(np.float64)
    weights = np.where(weights > min_score, weights, 0.0)
    ballots = np.zeros((len(scores), len(kinds)))
    np.add.at(ballots, (np.arange(len(scores))[:, None], kind[voters]), weights)
    total = ballots.sum(axis=1)
    winner = ballots.argmax(axis=1)
    share = ballots[np.arange(len(scores)), winner] / np.where(total > 0, total, 1.0)
    return np.where(total > 0, kinds[winner], ABSTAIN), share
