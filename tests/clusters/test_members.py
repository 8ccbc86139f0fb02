"""What Spark computes of the members, beside plain NumPy on all of them at once, under several partitionings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from support import cluster_oracle as oracle
from support.warehouses import an_id

from imgsearch.clusters import kmeans
from imgsearch.clusters.blocks import in_blocks
from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.drift import stretch
from imgsearch.clusters.drift_table import expected_level, level_of
from imgsearch.clusters.rounds import assign
from imgsearch.clusters.store import described_clusters, member_rows, numbered, sizes_of, unseen
from imgsearch.clusters.thresholds import collection_spread, thresholds_of
from imgsearch.vectors import pack, unit

N, DIM, N_CLUSTERS = 700, 12, 6


class Whole:
    """All vectors and what NumPy says of their clusters."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        modes = rng.standard_normal((N_CLUSTERS, DIM))
        share = np.array([0.5, 0.3, 0.1, 0.085, 0.01, 0.005])  # the last ones are smaller than MIN_SIZE
        group = rng.choice(N_CLUSTERS, N, p=share)
        rows = unit((modes[group] + 0.4 * rng.standard_normal((N, DIM))).astype(np.float32))
        rows[:20] = rows[0]  # copies score alike
        self.rows, self.ids = rows, np.array([an_id(i) for i in range(N)])
        self.centroids = unit(modes.astype(np.float32))
        self.cluster, self.scores = kmeans.assign(rows, self.centroids)
        self.scores = np.einsum("ij,ij->i", rows, self.centroids[self.cluster], dtype=np.float64).astype(np.float32)
        self.described = oracle.describe(self.cluster, self.scores, self.ids, N_CLUSTERS)
        self.codebook = Codebook(np.array([7, 3, 11, 20, 5, 2]), self.centroids, self.described.threshold)


@pytest.fixture(scope="module")
def whole() -> Whole:
    return Whole()


def frame(spark: SparkSession, whole: Whole, n_partitions: int, seed: int):
    """The vectors in another order, cut into partitions."""
    order = np.random.default_rng(seed).permutation(N)
    rows = pa.table({"image_id": whole.ids[order], "vector": pack(whole.rows[order])})
    return spark.createDataFrame(rows).repartition(n_partitions)


CUTS = pytest.mark.parametrize(("n_partitions", "seed"), [(1, 0), (3, 1), (11, 2)])


@CUTS
def test_members_and_clusters_are_those_of_numpy(
    spark: SparkSession, whole: Whole, n_partitions: int, seed: int
) -> None:
    assigned = assign(in_blocks(frame(spark, whole, n_partitions, seed), DIM), whole.centroids).persist()
    sizes = sizes_of(assigned, "cluster", np.arange(N_CLUSTERS))
    assert sizes.tolist() == whole.described.size.tolist()
    got = thresholds_of(assigned, sizes)
    np.testing.assert_allclose(got, whole.described.threshold, atol=1e-7)

    members = member_rows(assigned, "p", whole.codebook).persist()
    table = members.toArrow().sort_by("image_id")
    order = np.argsort(whole.ids)
    assert table.column("cluster_id").to_pylist() == whole.codebook.cluster_ids[whole.cluster][order].tolist()
    np.testing.assert_array_equal(table.column("score").to_numpy(), whole.scores[order])
    outliers = oracle.outliers(whole.cluster, whole.scores, whole.described.threshold)
    assert table.column("is_outlier").to_pylist() == outliers[order].tolist()
    second = kmeans_second(whole)
    assert table.column("second_cluster_id").to_pylist() == whole.codebook.cluster_ids[second][order].tolist()

    described = {row["cluster_id"]: row for row in described_clusters(members).collect()}
    shape = oracle.silhouette(whole.rows, whole.cluster, whole.centroids)
    for cluster, cluster_id in enumerate(whole.codebook.cluster_ids.tolist()):
        row, inside = described[cluster_id], whole.cluster == cluster
        assert row["size"] == whole.described.size[cluster]
        assert row["medoid_id"] == whole.ids[whole.described.medoid[cluster]]
        assert row["cohesion"] == pytest.approx(whole.described.cohesion[cluster], abs=1e-6)
        assert row["silhouette"] == pytest.approx(shape[inside].mean(), abs=1e-5)

    expected = oracle.expected_level(whole.cluster, whole.scores, whole.described.threshold)
    level = expected_level(numbered(assigned, whole.codebook, stretch=stretch(sizes)))
    assert level == pytest.approx(expected, abs=1e-9)
    assert level_of(members) == pytest.approx(oracle.level(whole.scores, outliers), abs=1e-9)
    members.unpersist()
    assigned.unpersist()


def kmeans_second(whole: Whole) -> np.ndarray:
    scores = whole.rows.astype(np.float64) @ whole.centroids.T
    scores[np.arange(N), whole.cluster] = -np.inf
    return scores.argmax(axis=1)


@pytest.mark.parametrize(
    "scores",
    [
        [], [0.5], [0.5, 0.5], [-0.25, 0.75], [0.1, 0.2, 0.3], [0.9] * 7 + [0.1], [0.3] * 5 + [0.3001] * 5,
        np.linspace(-1, 1, 1001).tolist(), (1 - np.geomspace(1e-7, 1, 500)).tolist(), [1.0] * 50 + [-1.0] * 51,
    ],
)  # fmt: skip
def test_the_middle_of_all_scores(spark: SparkSession, scores: list[float]) -> None:
    values = np.array(scores, np.float32)
    rows = pa.table({"cluster": np.zeros(len(values), np.int32), "score": values})
    spread = collection_spread(spark.createDataFrame(rows).repartition(3))
    if not scores:
        assert np.isnan(spread.middle)
        return
    wide = values.astype(np.float64)
    middle = np.median(wide)
    assert spread.middle == pytest.approx(middle, abs=2**-30)
    assert spread.spread == pytest.approx(np.median(middle - wide[wide <= middle]), abs=2**-29)


def test_small_clusters_only(spark: SparkSession) -> None:
    """No cluster reaches MIN_SIZE: all share the typical distance below the middle."""
    rng = np.random.default_rng(1)
    cluster = rng.integers(0, 9, 40).astype(np.int32)
    cluster[cluster == 4] = 5  # one is empty
    scores = rng.random(40).astype(np.float32)
    members = spark.createDataFrame(pa.table({"cluster": cluster, "score": scores})).repartition(4)
    got = thresholds_of(members, np.bincount(cluster, minlength=9))
    np.testing.assert_allclose(got, oracle.thresholds(cluster, scores, 9), atol=1e-6)
    assert np.isnan(got[4])


def test_rows_that_stand_already_are_not_added_twice(spark: SparkSession) -> None:
    stored = spark.createDataFrame([(str(i),) for i in range(50)], "image_id string")
    rows = spark.createDataFrame([(str(i), i) for i in range(45, 55)], "image_id string, cluster_id int")
    assert sorted(row["cluster_id"] for row in unseen(rows, stored).collect()) == [50, 51, 52, 53, 54]
