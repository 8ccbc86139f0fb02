"""What a worker does with the named images it was sent, without Spark."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from support.warehouses import clustered

from imgsearch.clusters.codebook import Codebook
from imgsearch.labels.spreading import Ballot, ballot, shares, vote_batches
from imgsearch.labels.votes import ORIGINS, Named, spread
from imgsearch.vectors import pack, unpack

N, N_CLUSTERS = 90, 6


def test_batches_are_labelled_as_all_rows_at_once() -> None:
    vectors, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.5)
    cluster_ids = np.array([2, 3, 5, 8, 13, 21])
    codebook = Codebook(cluster_ids, centroids, np.full(N_CLUSTERS, 0.5, np.float32))
    named = np.array([i for i in range(0, N, 4) if clusters[i] != N_CLUSTERS - 1])
    labels = [f"kind {clusters[i] % 2 if i % 3 else 'x'}" for i in named]
    table = pa.table({
        "image_id": [f"{i:03}" for i in named], "cluster_id": pa.array(cluster_ids[clusters[named]], pa.int32()),
        "vector": pack(vectors[named]), "label": labels,
    })  # fmt: skip
    of_cluster = {5: "kind 1", 21: "a heap"}
    sent: Ballot = ballot(table, codebook, of_cluster, 0.5)
    assert sent.words == sorted({*labels, *of_cluster.values()})
    rows = pa.record_batch({
        "image_id": [f"{i:03}" for i in range(N)], "cluster_id": pa.array(cluster_ids[clusters], pa.int32()),
        "vector": pack(vectors),
    })  # fmt: skip
    batches = [rows.slice(0, 31), rows.slice(31, 0), rows.slice(31)]
    got = pa.Table.from_batches(vote_batches(SimpleNamespace(value=sent))(iter(batches)))  # type: ignore[arg-type]

    scores = np.einsum("ij,ij->i", vectors, centroids[clusters], dtype=np.float64).astype(np.float32)
    own = Named(vectors[named], cluster_ids[clusters[named]], np.array([sent.words.index(w) for w in labels]))
    names = {c: sent.words.index(w) for c, w in of_cluster.items()}
    truth = spread(unpack(pack(vectors)), cluster_ids[clusters], own, names, scores < 0.5, scores, min_confidence=0.5)
    words = [*sent.words, None]
    assert got.column("label").to_pylist() == [words[i] for i in truth.labels]
    assert got.column("origin").to_pylist() == [ORIGINS[i] for i in truth.origins]
    np.testing.assert_allclose(got.column("confidence").to_numpy(), truth.confidence, atol=1e-6)
    assert {"vote", "cluster", "none"} == set(got.column("origin").to_pylist())


def test_no_name_of_an_image_at_all() -> None:
    """Only clusters are named."""
    vectors, clusters, centroids = clustered(20, 2)
    codebook = Codebook(np.array([0, 1]), centroids, np.full(2, -1, np.float32))
    nobody = pa.table({
        "cluster_id": pa.array([], pa.int32()), "vector": pa.array([], pa.binary()), "label": pa.array([], pa.string())
    })  # fmt: skip
    sent = ballot(nobody, codebook, {1: "one"}, 0.5)
    rows = pa.record_batch({
        "image_id": [str(i) for i in range(20)], "cluster_id": pa.array(clusters, pa.int32()), "vector": pack(vectors)
    })  # fmt: skip
    (got,) = vote_batches(SimpleNamespace(value=sent))(iter([rows]))  # type: ignore[arg-type]
    assert got.column(1).to_pylist() == ["one" if c else None for c in clusters]


def test_shares_cover_every_cluster_once() -> None:
    rng = np.random.default_rng(0)
    ids = np.sort(rng.permutation(1000)[:60])
    n_named = rng.integers(0, 30, 60)
    n_named[7] = 500
    parts = shares(ids, n_named, 100)
    for part in parts:
        inside = (ids >= part.first) & (ids <= part.last)
        assert n_named[inside].sum() * part.sampled <= 100
    assert sum(int(((ids >= p.first) & (ids <= p.last)).sum()) for p in parts) == 60
    assert [p.sampled < 1 for p in parts].count(True) == 1
