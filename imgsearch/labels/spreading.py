"""Names spread over all vectors: votes are counted where the vectors are, and the named images come to them.

Named images vote in their own cluster only. So at most ``NAMED_AT_ONCE`` of them are broadcast at a time, those of
some clusters, and the vectors of these clusters are read. However many images a person names, each vector is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.labels.votes import ABSTAIN, ORIGINS, Named, spread
from imgsearch.lake.batches import Batches
from imgsearch.vectors import unpack

#: Named images that are broadcast at once: 51 MB at 256-d. Of one cluster's names, more than these are sampled.
NAMED_AT_ONCE = 50_000
VOTE = "image_id string, label string, confidence float, origin string"


class Ballot(NamedTuple):
    """What decides about the vectors of some clusters: the named images among them, and the clusters' own names.

    ``words``: the names, ascending; labels are positions in it. ``cluster_labels``: label of each named cluster.
    """

    codebook: Codebook
    words: list[str]
    named: Named
    cluster_labels: dict[int, int]
    min_confidence: float


class Share(NamedTuple):
    """Clusters ``first`` to ``last`` and the part of their named images that vote: at most ``NAMED_AT_ONCE``."""

    first: int
    last: int
    sampled: float

    def rows(self, frame: DataFrame) -> DataFrame:
        """The rows of ``frame`` in these clusters; a filter that skips files of ``vectors``."""
        return frame.where(F.col("cluster_id").between(self.first, self.last))


def shares(cluster_ids: NDArray[np.int64], n_named: NDArray[np.int64], at_once: int) -> list[Share]:
    """Neighbouring clusters, ascending, with at most ``at_once`` named images together; a larger cluster is alone.

    >>> [share[:2] for share in shares(np.array([2, 5, 7, 9]), np.array([3, 3, 9, 0]), at_once=6)]
    [(2, 5), (7, 7), (9, 9)]
    """
    groups: list[tuple[int, int, int]] = []
    for cluster_id, n in zip(cluster_ids.tolist(), n_named.tolist(), strict=True):
        if groups and groups[-1][2] + n <= at_once:
            groups[-1] = (groups[-1][0], cluster_id, groups[-1][2] + n)
        else:
            groups.append((cluster_id, cluster_id, n))
    return [Share(first, last, min(1.0, at_once / max(n, 1))) for first, last, n in groups]


def ballots(
    named: DataFrame, codebook: Codebook, of_cluster: dict[int, str], min_confidence: float
) -> Iterator[tuple[Share, Ballot]]:
    """What is broadcast for each share of the clusters. ``named``: ``image_id``, ``cluster_id``, ``vector``, ``label``.

    At most ``NAMED_AT_ONCE`` rows come to the driver at a time.
    """
    counts = named.groupBy("cluster_id").count().toArrow()  # one row a cluster
    n_named = np.zeros(len(codebook.cluster_ids), np.int64)
    n_named[np.searchsorted(codebook.cluster_ids, counts.column("cluster_id").to_numpy())] = counts.column("count")
    for share in shares(codebook.cluster_ids, n_named, NAMED_AT_ONCE):
        rows = share.rows(named)
        if share.sampled < 1:
            rows = rows.where(F.pmod(F.xxhash64("image_id"), F.lit(1 << 20)) < int(share.sampled * (1 << 20)))
        yield share, ballot(rows.toArrow().sort_by("image_id"), codebook, of_cluster, min_confidence)


def ballot(table: pa.Table, codebook: Codebook, of_cluster: dict[int, str], min_confidence: float) -> Ballot:
    """From the named images of some clusters, in order of ``image_id``: ``cluster_id``, ``vector``, ``label``."""
    labels = table.column("label").to_pylist()
    words = sorted({*labels, *of_cluster.values()})
    number = {word: i for i, word in enumerate(words)}
    named = Named(
        unpack(table.column("vector"), codebook.centroids.shape[1]),
        table.column("cluster_id").to_numpy().astype(np.int64),
        np.array([number[label] for label in labels], np.int64),
    )
    return Ballot(codebook, words, named, {c: number[word] for c, word in of_cluster.items()}, min_confidence)


def votes(vectors: DataFrame, ballot: Ballot) -> DataFrame:
    """The columns of ``VOTE`` for ``vectors`` (``image_id``, ``cluster_id``, ``vector``); null label: abstained."""
    shared = vectors.sparkSession.sparkContext.broadcast(ballot)
    return vectors.select("image_id", "cluster_id", "vector").mapInArrow(vote_batches(shared), VOTE)


def vote_batches(ballot: Broadcast[Ballot]) -> Callable[[Batches], Batches]:
    """(image_id, cluster_id, vector) batches → ``VOTE`` batches."""

    def count(batches: Batches) -> Batches:
        for batch in batches:
            if len(batch):
                yield _votes(batch, ballot.value)

    return count


def _votes(batch: pa.RecordBatch, ballot: Ballot) -> pa.RecordBatch:
    codebook = ballot.codebook
    vectors, cluster_ids = unpack(batch.column(2)), batch.column(1).to_numpy().astype(np.int64)
    own = np.searchsorted(codebook.cluster_ids, cluster_ids)
    scores = np.einsum("ij,ij->i", vectors, codebook.centroids[own], dtype=np.float64).astype(np.float32)
    result = spread(
        vectors, cluster_ids, ballot.named, ballot.cluster_labels, outlier=scores < codebook.thresholds[own],
        scores=scores, min_confidence=ballot.min_confidence,
    )  # fmt: skip
    words = pa.array([*ballot.words, None], pa.string())  # ABSTAIN is the position of the last
    return pa.RecordBatch.from_arrays(
        [
            batch.column(0),
            words.take(pa.array(np.where(result.labels == ABSTAIN, len(ballot.words), result.labels))),
            pa.array(result.confidence, pa.float32()),
            pa.array(ORIGINS).take(pa.array(result.origins)),
        ],
        names=["image_id", "label", "confidence", "origin"],
    )
