"""Sketches lose no more than they say; and the route of every vector, followed without Spark."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from imgsearch.clusters.codebook import Codebook
from imgsearch.duplicates.near import Routing, meet_batches, route_batches
from imgsearch.duplicates.sketch import sketched, slack, unsketched
from imgsearch.vectors import pack, unit

THRESHOLD = 0.9


def drawn(n, dim=16, seed=3, n_scenes=60):
    rng = np.random.default_rng(seed)
    scenes = unit(np.random.default_rng(1).standard_normal((n_scenes, dim)).astype(np.float32))
    return unit((scenes[rng.integers(0, n_scenes, n)] + 0.08 * rng.standard_normal((n, dim))).astype(np.float32))


@pytest.mark.parametrize("dim", [3, 16, 256])
def test_a_sketch_loses_no_more_than_it_says(dim):
    vectors = drawn(300, dim)
    vectors[0] = np.eye(dim, dtype=np.float32)[1]
    vectors[1] = 0
    rows, errors = sketched(vectors)
    back = unsketched(rows)
    assert rows.shape == (300, dim + 4)
    np.testing.assert_allclose(np.linalg.norm(vectors - back, axis=1), errors, atol=1e-6)
    assert errors.max() < 0.05
    excess = vectors @ vectors.T - back @ back.T
    allowed = np.array([[slack(float(e), float(f)) for f in errors] for e in errors])
    assert (excess <= allowed).all()


@pytest.mark.parametrize("block", [20_000, 37])
def test_every_near_pair_meets_once_in_some_block(block):
    vectors = drawn(700)
    keys = np.random.default_rng(4).permutation(10_000)[:700].astype(np.int64)
    centroids = unit(np.random.default_rng(2).standard_normal((9, 16)).astype(np.float32))
    home = np.argmax(vectors @ centroids.T, axis=1).astype(np.int32)
    codebook = Codebook(np.arange(9) * 3, centroids, np.full(9, -1, np.float32))
    n_blocks = -(-np.bincount(home, minlength=9) // block)
    shared = SimpleNamespace(value=Routing(codebook, THRESHOLD, n_blocks, True))
    columns = [pa.array(keys), pa.array(home * 3), pack(vectors)]
    batch = pa.RecordBatch.from_arrays(columns, names=["image_key", "cluster_id", "vector"])
    routed = pa.Table.from_batches(list(route_batches(shared, True)(iter([batch.slice(0, 300), batch.slice(300)]))))
    order = [(name, "ascending") for name in ("cluster_id", "block", "is_visitor")]
    together = routed.sort_by(order).combine_chunks().to_batches(max_chunksize=50)
    met = pa.Table.from_batches(list(meet_batches(THRESHOLD, True)(iter(together))))
    pairs = [frozenset(p) for p in zip(met.column(0).to_pylist(), met.column(1).to_pylist(), strict=True)]
    assert len(set(pairs)) == len(pairs)
    left, right = np.nonzero(np.triu(vectors @ vectors.T >= THRESHOLD, 1))
    wanted = {frozenset((int(keys[a]), int(keys[b]))) for a, b in zip(left, right, strict=True)}
    assert wanted <= set(pairs)
    assert len(wanted) > 0.7 * len(pairs)  # sketches rule most others out
