"""The join of near vectors, and grouping in rounds, against brute force and ``pairs.group``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imgsearch.clusters.codebook import Codebook
from imgsearch.duplicates import grouping
from imgsearch.duplicates.near import near_across, near_pairs
from imgsearch.duplicates.pairs import Pairs, group
from imgsearch.vectors import pack, unit

THRESHOLD = 0.9


def keep(frame, _):
    """As ``TableStore.stage``: the rows are computed once, and their plan ends here."""
    return frame.localCheckpoint()


def vectors_of(n, seed, n_scenes=60):
    rng = np.random.default_rng(seed)
    scenes = unit(np.random.default_rng(1).standard_normal((n_scenes, 16)).astype(np.float32))
    return unit((scenes[rng.integers(0, n_scenes, n)] + 0.08 * rng.standard_normal((n, 16))).astype(np.float32))


@pytest.fixture(scope="module")
def codebook():
    centroids = unit(np.random.default_rng(2).standard_normal((9, 16)).astype(np.float32))
    return Codebook(np.arange(9) * 3, centroids, np.full(9, -1, np.float32))


def frame_of(spark, keys, vectors, codebook):
    home = codebook.cluster_ids[np.argmax(vectors @ codebook.centroids.T, axis=1)].astype(np.int32)
    return spark.createDataFrame(pa.table({"image_key": keys, "cluster_id": home, "vector": pack(vectors)}))


def as_set(frame):
    table = frame.toArrow()
    rows = list(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
    assert len(set(rows)) == len(rows)
    return set(rows), table


@pytest.mark.parametrize("block", [20_000, 37])
def test_every_near_pair_comes_once(spark, codebook, block):
    vectors = vectors_of(700, 3)
    keys = np.random.default_rng(4).permutation(10_000)[:700].astype(np.int64)
    found, table = as_set(near_pairs(frame_of(spark, keys, vectors, codebook), codebook, THRESHOLD, keep, block))
    left, right = np.nonzero(np.triu(vectors @ vectors.T >= THRESHOLD, 1))
    wanted = {frozenset((int(keys[a]), int(keys[b]))) for a, b in zip(left, right, strict=True)}
    assert {frozenset(pair) for pair in found} == wanted
    assert len(found) == len(wanted) > 500
    row_of = {int(key): row for row, key in enumerate(keys)}
    one, other = (np.array([row_of[k] for k in table.column(c).to_pylist()]) for c in (0, 1))
    scores = np.einsum("nd,nd->n", vectors[one], vectors[other])
    np.testing.assert_allclose(table.column("score").to_numpy(), scores, atol=1e-6)


@pytest.mark.parametrize("block", [20_000, 37])
def test_every_near_pair_across_comes_once_and_copies_are_none(spark, codebook, block):
    mine, theirs = vectors_of(300, 5), vectors_of(400, 6)
    theirs[:20] = mine[:20]
    keys, other_keys = np.arange(300), np.append(np.arange(20), np.arange(1000, 1380))
    found, _ = as_set(
        near_across(
            frame_of(spark, keys, mine, codebook), frame_of(spark, other_keys, theirs, codebook), codebook, THRESHOLD,
            keep, block,
        )
    )  # fmt: skip
    near = np.argwhere(mine @ theirs.T >= THRESHOLD)
    wanted = {(int(a), int(other_keys[b])) for a, b in near if a != other_keys[b]}
    assert found == wanted
    assert len(wanted) > 500


@pytest.mark.parametrize(("driver_pairs", "seed"), [(10_000, 1), (0, 1), (0, 2), (40, 3)])
def test_groups_in_rounds_are_those_of_one_pass(spark, driver_pairs, seed):
    rng = np.random.default_rng(seed)
    n = 120
    left, right = np.nonzero(np.triu(rng.random((n, n)) < 0.03, 1))
    scores = np.round(rng.uniform(0.9, 1, len(left)), 2).astype(np.float32)  # with equals
    weights = rng.integers(1, 4, n)
    keys = np.sort(rng.permutation(100_000)[:n]).astype(np.int64)
    pairs = pa.table({"left_key": keys[left], "right_key": keys[right], "score": scores})
    heavy = np.flatnonzero(weights > 1)
    frame = spark.createDataFrame(pa.table({"image_key": keys[heavy], "weight": weights[heavy]}))
    found = grouping.groups(spark.createDataFrame(pairs), frame, keep, driver_pairs)
    answer = {r["image_key"]: (r["representative_key"], pytest.approx(r["score"])) for r in found.collect()}
    expected = group(n, Pairs(left, right, scores), weights)
    moved = np.flatnonzero(expected.representative != np.arange(n))
    assert answer == {int(keys[i]): (int(keys[expected.representative[i]]), expected.scores[i]) for i in moved}


def test_a_long_chain_is_grouped(spark):
    keys = np.random.default_rng(5).permutation(200)
    left, right = np.minimum(keys[:-1], keys[1:]), np.maximum(keys[:-1], keys[1:])
    scores = np.full(199, 0.95, np.float32)
    pairs = spark.createDataFrame(pa.table({"left_key": left, "right_key": right, "score": scores}))
    none = spark.createDataFrame([], "image_key bigint, weight bigint")
    found = grouping.groups(pairs, none, keep, driver_pairs=10)
    expected = group(200, Pairs(left, right, scores))
    heads = {r["image_key"]: r["representative_key"] for r in found.collect()}
    assert heads == {i: int(r) for i, r in enumerate(expected.representative) if i != r}
