"""What a worker does with the ballot that it was sent, without Spark."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from support.warehouses import clustered

from imgsearch.clusters.codebook import Codebook
from imgsearch.labels.ballot import Ballot, ballot
from imgsearch.labels.confidence import Curve
from imgsearch.labels.spreading import vote_batches
from imgsearch.labels.votes import ORIGINS, origins, vote
from imgsearch.vectors import pack

N, N_CLUSTERS = 90, 6
NUMBERS = np.array([2, 3, 5, 8, 13, 21])
OF_CLUSTER = {5: "kind 1", 8: "valve", 21: "a heap"}


def made(junk: frozenset[int] = frozenset()) -> tuple[Ballot, pa.RecordBatch, np.ndarray]:
    """The ballot, all images as a batch, and the cluster number of each."""
    vectors, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.5)
    numbers = NUMBERS[clusters]
    own = [i for i in range(0, N, 4) if clusters[i] != N_CLUSTERS - 1]
    medoids = {5: f"{next(i for i in own if numbers[i] == 5):03}", 8: f"{int(np.flatnonzero(numbers == 8)[1]):03}"}
    named = sorted({*own, int(medoids[8])})
    labels = ["valve" if f"{i:03}" == medoids[8] else f"kind {clusters[i] % 2}" for i in named]
    table = pa.table({
        "image_id": [f"{i:03}" for i in named], "cluster_id": pa.array(numbers[named], pa.int32()),
        "vector": pack(vectors[named]), "label": labels, "is_own": [f"{i:03}" != medoids[8] for i in named],
    })  # fmt: skip
    rows = pa.record_batch({
        "image_id": [f"{i:03}" for i in range(N)],
        "cluster_id": pa.array([None if i == 0 else int(c) for i, c in enumerate(numbers)], pa.int32()),
        "vector": pack(np.concatenate([vectors[:-1], np.full((1, vectors.shape[1]), np.nan, np.float32)])),
    })  # fmt: skip
    codebook = Codebook(NUMBERS, centroids, np.full(N_CLUSTERS, 0.5, np.float32))
    return ballot(table, codebook, OF_CLUSTER, medoids, junk), rows, numbers


def spread(sent: Ballot, *batches: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches(vote_batches(SimpleNamespace(value=sent))(iter(batches)))  # type: ignore[arg-type]


def test_batches_are_labelled_as_all_rows_at_once() -> None:
    sent, rows, numbers = made()
    got = spread(sent, rows.slice(0, 31), rows.slice(31, 0), rows.slice(31))
    assert got.equals(spread(sent, rows))
    assert got.column("image_id").to_pylist() == rows.column(0).to_pylist()

    vectors = clustered(N, N_CLUSTERS, spread=0.5)[0]
    vectors[-1] = 0
    truth = vote(vectors, sent.voters)
    words = [*sent.words, None]
    assert got.column("label").to_pylist() == [words[i] for i in truth.labels]
    assert got.column("runner_up").to_pylist() == [words[i] for i in truth.runner_up]
    np.testing.assert_allclose(got.column("confidence").to_numpy(), truth.confidence, atol=1e-6)
    own = [sent.words.index(OF_CLUSTER[c]) if c in OF_CLUSTER and i else -1 for i, c in enumerate(numbers.tolist())]
    assert got.column("origin").to_pylist() == [ORIGINS[o] for o in origins(truth, sent.voters, np.array(own))]
    assert {"vote", "cluster", "none"} == set(got.column("origin").to_pylist())
    assert got.column("cluster_id").to_pylist()[0] is None
    assert got.slice(N - 1).to_pylist()[0] | {"cluster_id": 0, "image_id": ""} == {
        "image_id": "", "cluster_id": 0, "label": None, "confidence": 0.0, "origin": "none", "runner_up": None,
        "voters": [], "nearest": 0.0,
    }  # fmt: skip


def test_voters_are_named_once_each_and_nearest_first() -> None:
    sent, rows, _ = made()
    ids = [*sent.ids, *sent.medoid_ids]
    truth = vote(np.nan_to_num(clustered(N, N_CLUSTERS, spread=0.5)[0])[:-1], sent.voters)
    for got, places in zip(spread(sent, rows).column("voters").to_pylist()[:-1], truth.voters, strict=True):
        assert got == list(dict.fromkeys(ids[j] for j in places if j >= 0 and ids[j] is not None))
    assert sent.medoid_ids == [sent.medoid_ids[0], sent.medoid_ids[1], None]


def test_images_of_junk_have_no_row_and_the_curve_is_applied() -> None:
    sent, rows, numbers = made(junk=frozenset([13, 21]))
    got = spread(sent._replace(curve=Curve(np.array([0.0, 1.0]), np.array([0.1, 0.2]))), rows)
    outside = [i for i, c in enumerate(numbers) if c not in (13, 21) or i == 0]  # the first image has no cluster
    assert got.column("image_id").to_pylist() == [f"{i:03}" for i in outside]
    assert 0.1 <= got.column("confidence").to_numpy().min() <= got.column("confidence").to_numpy().max() <= 0.2


def test_no_name_of_an_image_at_all() -> None:
    """Only a cluster is named, and it has no medoid."""
    vectors, clusters, centroids = clustered(20, 2)
    codebook = Codebook(np.array([0, 1]), centroids, np.full(2, -1, np.float32))
    nobody = pa.table({
        "image_id": pa.array([], pa.string()), "cluster_id": pa.array([], pa.int32()),
        "vector": pa.array([], pa.binary()), "label": pa.array([], pa.string()), "is_own": pa.array([], pa.bool_()),
    })  # fmt: skip
    sent = ballot(nobody, codebook, {1: "one"}, {}, frozenset())
    rows = pa.record_batch({
        "image_id": [str(i) for i in range(20)], "cluster_id": pa.array(clusters, pa.int32()), "vector": pack(vectors)
    })  # fmt: skip
    got = spread(sent, rows)
    inside = np.array(got.column("confidence").to_pylist())[clusters == 1]
    outside = np.array(got.column("confidence").to_pylist())[clusters == 0]
    assert inside.min() > 0.5 > outside.max()
    assert {o for o, c in zip(got.column("origin").to_pylist(), clusters, strict=True) if c} == {"cluster"}
