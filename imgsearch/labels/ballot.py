"""Who votes in a warehouse, on the driver: named images and named clusters with their ids, and what a vote is worth.

Pure: arrays and Arrow tables. ``spreading`` reads the tables and sends the ballot to where the vectors are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imgsearch.clusters.codebook import Codebook
from imgsearch.labels.confidence import Curve
from imgsearch.labels.votes import ABSTAIN, ORIGINS, Voters, origins, vote
from imgsearch.vectors import Ids, Matrix, unpack


class Ballot(NamedTuple):
    """``words``: the names, ascending; labels are places in it.

    ``ids`` and ``cluster_ids`` (m,) of the named images in ``voters``; ``medoid_ids`` of its named clusters, ``None``
    where one has none. ``own_labels`` (c,) int64: the label of each of the clusters ``codebook_ids`` (c,), ascending,
    −1 for none. ``is_junk`` (c,): its images get no label. ``curve``: raw confidence → confidence; ``None``: as it is.
    """

    words: list[str]
    voters: Voters
    ids: list[str]
    cluster_ids: Ids
    medoid_ids: list[str | None]
    codebook_ids: Ids
    own_labels: Ids
    is_junk: NDArray[np.bool_]
    curve: Curve | None = None

    def confidence(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """What raw confidences are worth."""
        return raw if self.curve is None else self.curve.of(raw)

    def text(self, labels: Ids) -> pa.Array:
        """The names of ``labels``, null for −1."""
        words = pa.array([*self.words, None], pa.string())
        return words.take(pa.array(np.where(labels == ABSTAIN, len(self.words), labels)))


def ballot(
    named: pa.Table, codebook: Codebook, of_cluster: dict[int, str], medoids: dict[int, str], junk: frozenset[int]
) -> Ballot:
    """From the named images (``image_id``, ``cluster_id`` or null, ``vector``, ``label``, ``is_own``), in order of id.

    ``of_cluster``: name of each named cluster; ``medoids``: the ``image_id`` of its medoid, where there is one. Among
    the named images it has its cluster's name, unless it has its own.
    """
    labels, ids = named.column("label").to_pylist(), named.column("image_id").to_pylist()
    words = sorted({*labels, *of_cluster.values()})
    number, place = {word: i for i, word in enumerate(words)}, {image_id: i for i, image_id in enumerate(ids)}
    clusters = sorted(of_cluster)
    own_labels = np.full(len(codebook.cluster_ids), ABSTAIN, np.int64)
    rows = np.searchsorted(codebook.cluster_ids, np.array(clusters, np.int64))
    own_labels[rows] = [number[of_cluster[c]] for c in clusters]
    medoid_ids = [medoids.get(c) for c in clusters]
    voters = Voters(
        unpack(named.column("vector"), codebook.centroids.shape[1]),
        np.array([number[label] for label in labels], np.int64),
        named.column("is_own").to_numpy(zero_copy_only=False).astype(bool),
        codebook.centroids[rows], own_labels[rows],
        np.array([place.get(m, -1) if m is not None else -1 for m in medoid_ids], np.int64),
    )  # fmt: skip
    cluster_ids = named.column("cluster_id").fill_null(-1).to_numpy().astype(np.int64)
    is_junk = np.isin(codebook.cluster_ids, np.array(sorted(junk), np.int64))
    return Ballot(words, voters, ids, cluster_ids, medoid_ids, codebook.cluster_ids, own_labels, is_junk)


def counted(ballot: Ballot, image_ids: pa.Array, cluster_ids: Ids, vectors: Matrix) -> pa.RecordBatch:
    """The vote about a batch, as ``spreading.VOTE``; no rows for images of junk. ``cluster_ids`` (n,): −1 for none."""
    own = np.minimum(np.searchsorted(ballot.codebook_ids, cluster_ids), len(ballot.codebook_ids) - 1)
    is_in = ballot.codebook_ids[own] == cluster_ids
    keep = np.flatnonzero(~(is_in & ballot.is_junk[own]))
    votes = vote(vectors[keep], ballot.voters)
    own_labels = np.where(is_in, ballot.own_labels[own], ABSTAIN)[keep]
    columns = [
        image_ids.take(pa.array(keep)),
        pa.array(cluster_ids[keep].astype(np.int32), mask=cluster_ids[keep] < 0),
        ballot.text(votes.labels),
        pa.array(ballot.confidence(votes.confidence), pa.float32()),
        pa.array(ORIGINS).take(pa.array(origins(votes, ballot.voters, own_labels))),
        ballot.text(votes.runner_up),
        voter_ids(ballot, votes.voters),
        pa.array(votes.nearest, pa.float32()),
    ]
    names = ["image_id", "cluster_id", "label", "confidence", "origin", "runner_up", "voters", "nearest"]
    return pa.RecordBatch.from_arrays(columns, names=names)


def voter_ids(ballot: Ballot, voters: Ids) -> pa.ListArray:
    """For each row the ``image_id`` of who voted, nearest first: a cluster by its medoid, and each image once.

    ``voters`` (n, top_k): as in ``votes.Votes``.
    """
    m = len(ballot.ids)
    all_ids = pa.array([*ballot.ids, *ballot.medoid_ids, None], pa.string())
    medoid = np.append(ballot.voters.medoids, -1)[np.where(voters >= m, voters - m, -1)]
    is_twice = np.zeros(voters.shape, bool)
    image = np.where((voters >= 0) & (voters < m), voters, medoid)
    for column in range(1, image.shape[1]):
        before = image[:, :column] == image[:, column, None]
        is_twice[:, column] = (image[:, column] >= 0) & before.any(axis=1)
    without_id = np.append(np.array([i is None for i in all_ids.to_pylist()[:-1]], bool), True)
    used = ~is_twice & ~without_id[voters]
    offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), all_ids.take(pa.array(voters[used])))
