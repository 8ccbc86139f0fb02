"""Cluster on small warehouses: what the tables say, what happens to new and to odd vectors, and that numbers last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.clustering import KMeansModel
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters import cluster
from imgsearch.clusters.blocks import in_blocks, read_sample
from imgsearch.clusters.layout import codebook
from imgsearch.clusters.numbers import Lineage, stable_ids
from imgsearch.clusters.rounds import fit
from imgsearch.clusters.store import read_codebook
from imgsearch.config import ClusterConfig
from imgsearch.errors import UserError
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import keep_projection
from imgsearch.tables import (
    CLUSTER_CURVE,
    CLUSTER_EVENTS,
    CLUSTERS,
    DRIFT,
    ENCODERS,
    IMAGES,
    MEMBERS,
    QUARANTINE,
    VECTORS,
)
from imgsearch.vectors import pack, unit, unpack

DIM = 8
GROUPS = 5


def planted(n: int, seed: int = 0, groups: int = GROUPS, noise: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around ``groups`` of the axes, and the group of each."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % groups
    return unit((np.eye(DIM)[group] + noise * rng.standard_normal((n, DIM))).astype(np.float32)), group


def ids(n: int, prefix: str = "a") -> list[str]:
    return [f"{prefix}{i:05d}".ljust(64, "0") for i in range(n)]


def images_of(spark: SparkSession, image_ids: list[str], sites: list[str]):
    rows = pa.table({"image_id": image_ids, "path": [f"/{i[:6]}.jpg" for i in image_ids], "site": sites})
    extra = {"source": F.lit("test"), "ingested_at": F.current_timestamp()}
    return spark.createDataFrame(rows).withColumns(extra)


def vectors_frame(spark: SparkSession, image_ids: list[str], rows: np.ndarray):
    return spark.createDataFrame(pa.table({"image_id": image_ids, "vector": pack(rows)}))


def a_projection() -> Projection:
    floats = np.zeros(DIM, np.float32)
    return Projection("enc", floats, np.eye(DIM, dtype=np.float32), floats + 1, floats, 0.0, 10, "gram")


def make(spark: SparkSession, where: Path, image_ids: list[str], rows: np.ndarray, sites: list[str]) -> TableStore:
    """A warehouse that has come as far as ``compress``."""
    warehouse = TableStore.open(spark, str(where), create=True)
    projection = a_projection()
    warehouse.append(IMAGES, images_of(spark, image_ids, sites).coalesce(1))
    encoder = spark.createDataFrame(
        [("enc", "tiny", DIM, "{}")], "encoder_id string, name string, dim int, settings string"
    )
    warehouse.append(ENCODERS, encoder.withColumn("created_at", F.current_timestamp()))
    keep_projection(warehouse, projection, "nowhere")
    add(warehouse, image_ids, rows)
    return warehouse


def add(warehouse: TableStore, image_ids: list[str], rows: np.ndarray) -> None:
    frame = vectors_frame(warehouse.spark, image_ids, rows)
    frame = frame.withColumn("projection_id", F.lit(a_projection().projection_id))
    warehouse.append(VECTORS, frame.coalesce(1))


def config(warehouse: TableStore, **settings: object) -> ClusterConfig:
    return ClusterConfig(warehouse=warehouse.location, **{"n_clusters": str(GROUPS), **settings})  # type: ignore[arg-type]


def read(warehouse: TableStore, spec: object) -> list:
    return TableStore.open(warehouse.spark, warehouse.location).read(spec).collect()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory):
    """200 vectors in five groups, clustered; group 0 was photographed at north, three quarters of group 1 at south."""
    rows, group = planted(200)
    sites = ["north" if g == 0 else "south" if g == 1 and i % 20 != 1 else "west" for i, g in enumerate(group)]
    warehouse = make(spark, tmp_path_factory.mktemp("cluster") / "w", ids(200), rows, sites)
    summary = cluster.run(spark, config(warehouse))
    return warehouse, rows, group, summary


def test_planted_groups_are_the_clusters(fitted) -> None:
    warehouse, rows, group, summary = fitted
    assert (summary.rows_in, summary.rows_out, summary.quarantined) == (200, 200, 0)
    clusters = {r["cluster_id"]: r for r in read(warehouse, CLUSTERS)}
    members = read(warehouse, MEMBERS)
    row_of = {image_id: i for i, image_id in enumerate(ids(200))}
    assert sorted(clusters) == list(range(GROUPS))
    assert {r["size"] for r in clusters.values()} == {40}
    for cluster_id, described in clusters.items():
        own = [m for m in members if m["cluster_id"] == cluster_id]
        at = np.array([row_of[m["image_id"]] for m in own])
        assert len(set(group[at])) == 1
        mean = rows[at].astype(np.float64).mean(axis=0)
        medoid = ids(200)[at[(rows[at] @ mean).argmax()]]
        assert described["medoid_id"] == medoid
        assert described["medoid_path"] == f"/{medoid[:6]}.jpg"
        assert max(own, key=lambda m: m["score"])["image_id"] == medoid
        np.testing.assert_allclose(unpack([described["centroid"]])[0], mean / np.linalg.norm(mean), atol=1e-4)
        np.testing.assert_allclose([m["score"] for m in own], rows[at] @ (mean / np.linalg.norm(mean)), atol=1e-5)
        assert described["nearest_cluster_id"] in set(clusters) - {cluster_id}
        assert 0.5 < described["silhouette"] <= 1
    assert all(m["second_cluster_id"] != m["cluster_id"] and m["margin"] > 0 for m in members)


def test_commonest_metadata_is_told_with_its_share(fitted) -> None:
    warehouse = fitted[0]
    cluster_of = {m["image_id"]: m["cluster_id"] for m in read(warehouse, MEMBERS)}
    told = {r["cluster_id"]: r["metadata"] for r in read(warehouse, CLUSTERS)}
    assert told[cluster_of[ids(200)[0]]] == {"site": "north (100 %)"}
    assert told[cluster_of[ids(200)[1]]] == {"site": "south (75 %)"}


def test_the_mllib_model_on_disk_is_the_codebook(fitted) -> None:
    warehouse, rows, _, _ = fitted
    model = KMeansModel.load(f"{warehouse.location}/models/kmeans/{a_projection().projection_id}")
    centroids = unpack([r["centroid"] for r in sorted(read(warehouse, CLUSTERS))])
    np.testing.assert_allclose(np.array(model.clusterCenters()), centroids, atol=1e-7)
    cluster_of = {m["image_id"]: m["cluster_id"] for m in read(warehouse, MEMBERS)}
    assert [model.predict(Vectors.dense(row)) for row in rows[:10]] == [cluster_of[i] for i in ids(10)]
    assert model.getDistanceMeasure() == "cosine"


def test_vectors_lie_by_cluster(fitted) -> None:
    warehouse = fitted[0]
    cluster_of = {m["image_id"]: m["cluster_id"] for m in read(warehouse, MEMBERS)}
    assert {r["image_id"]: r["cluster_id"] for r in read(warehouse, VECTORS)} == cluster_of


def test_new_images_are_assigned_and_strangers_call_for_a_refit_which_keeps_numbers(
    spark: SparkSession, fitted
) -> None:
    warehouse, _, _, _ = fitted
    before = {r["cluster_id"]: r for r in read(warehouse, CLUSTERS)}
    old = {m["image_id"]: m["cluster_id"] for m in read(warehouse, MEMBERS)}

    again = cluster.run(spark, config(warehouse, n_clusters="auto"))
    assert (again.rows_in, again.notes) == (0, ())

    more, group = planted(50, seed=3)
    add(warehouse, ids(50, "b"), more)
    summary = cluster.run(spark, config(warehouse, n_clusters="auto"))
    assert (summary.rows_in, summary.rows_out, summary.notes) == (50, 50, ())
    now = {m["image_id"]: m for m in read(warehouse, MEMBERS)}
    assert {i: now[i]["cluster_id"] for i in old} == old
    assert [now[i]["cluster_id"] for i in ids(50, "b")] == [old[ids(200)[g]] for g in group]
    clusters = {r["cluster_id"]: r for r in read(warehouse, CLUSTERS)}
    assert {i: (r["centroid"], r["outlier_threshold"]) for i, r in clusters.items()} == {
        i: (r["centroid"], r["outlier_threshold"]) for i, r in before.items()
    }
    assert {r["size"] for r in clusters.values()} == {50}
    assert {r["image_id"]: r["cluster_id"] for r in read(warehouse, VECTORS)} == {
        i: m["cluster_id"] for i, m in now.items()
    }

    strangers = unit(np.tile(np.eye(DIM)[7], (30, 1)) + 0.05 * np.random.default_rng(5).standard_normal((30, DIM)))
    add(warehouse, ids(30, "c"), strangers.astype(np.float32))
    summary = cluster.run(spark, config(warehouse))
    assert summary.rows_out == 30
    assert any("a re-fit is due" in note and "--refit" in note for note in summary.notes)
    drift = sorted(read(warehouse, DRIFT), key=lambda r: r["measured_at"])
    assert [(r["event"], r["images"], r["refit_due"]) for r in drift] == [
        ("fit", 200, False), ("assign", 50, False), ("assign", 30, True),
    ]  # fmt: skip
    assert drift[2]["outlier_share"] > 0.9

    refit = cluster.run(spark, config(warehouse, n_clusters=str(GROUPS + 1), refit=True))
    assert refit.rows_out == 280
    members = {m["image_id"]: m["cluster_id"] for m in read(warehouse, MEMBERS)}
    assert {i: members[i] for i in old} == old
    assert {members[i] for i in ids(30, "c")} == {GROUPS}
    events = read(warehouse, CLUSTER_EVENTS)
    assert sorted((e["event"], e["cluster_id"]) for e in events if e["event"] in ("kept", "new")) == [
        *(("kept", i) for i in range(GROUPS)), ("new", GROUPS),
    ]  # fmt: skip

    fewer = cluster.run(spark, config(warehouse, n_clusters="2"))
    assert fewer.rows_out == 280
    left = {r["cluster_id"] for r in read(warehouse, CLUSTERS)}
    assert len(left) == 2
    assert left < set(range(GROUPS + 1))
    events = read(warehouse, CLUSTER_EVENTS)
    last = [e for e in events if e["fitted_at"] == max(e["fitted_at"] for e in events)]
    assert {e["cluster_id"] for e in last if e["event"] == "gone"} == set(range(GROUPS + 1)) - left
    assert any(e["event"] == "merge" and len(e["others"]) > 1 for e in last)

    parts = warehouse.spark.createDataFrame(
        pa.table({"image_id": sorted(members), "cluster": (np.arange(280) % 9).astype(np.int32)})
    )
    store = TableStore.open(warehouse.spark, warehouse.location)
    numbers, events = stable_ids(store, Lineage(a_projection().projection_id, ()), parts, 9)
    assert sorted(set(numbers.tolist()) - left) == list(range(GROUPS + 1, GROUPS + 8))  # none is given twice


def contents(warehouse: TableStore) -> tuple:
    """What members, clusters and vectors say, without times."""
    members = sorted(tuple(r) for r in read(warehouse, MEMBERS))
    clusters = sorted((r["cluster_id"], r["size"], r["medoid_id"], r["cohesion"]) for r in read(warehouse, CLUSTERS))
    return members, clusters, sorted((r["image_id"], r["cluster_id"]) for r in read(warehouse, VECTORS))


class StopError(Exception):
    """Raised where a run is cut off."""


def run_until(step: str, warehouse: TableStore) -> None:
    """A run that is stopped where it would call ``step``."""

    def stop(*_: object) -> None:
        raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, step, stop)
        with pytest.raises(StopError):
            cluster.run(warehouse.spark, config(warehouse))


def test_a_run_that_is_stopped_is_taken_up_by_the_next(spark: SparkSession, tmp_path: Path) -> None:
    rows, _ = planted(120)
    warehouse = make(spark, tmp_path / "w", ids(120), rows, ["x"] * 120)
    for step in ("lay_out", "write_clusters"):
        run_until(step, warehouse)
        store = TableStore.open(spark, warehouse.location)
        assert read_codebook(store, a_projection().projection_id) is None
        with pytest.raises(UserError, match=r"submit\.sh cluster"):
            codebook(store, a_projection().projection_id, "--nprobe")
    assert cluster.run(spark, config(warehouse)).rows_out == 120
    members, clusters, vectors = contents(warehouse)
    assert {size for _, size, _, _ in clusters} == {24}
    assert [(m[0], m[2]) for m in members] == vectors

    add(warehouse, ids(20, "b"), planted(20, seed=3)[0])
    for step in ("record_assign", "_describe_again", "lay_out_new"):
        run_until(step, warehouse)
    assert cluster.run(spark, config(warehouse)).rows_out == 20
    members, clusters, vectors = contents(warehouse)
    assert {size for _, size, _, _ in clusters} == {28}
    assert [(m[0], m[2]) for m in members] == vectors
    assert len(members) == 140
    assert cluster.run(spark, config(warehouse)).rows_in == 0
    assert contents(warehouse) == (members, clusters, vectors)


def test_images_that_left_and_images_that_came_meanwhile(spark: SparkSession, tmp_path: Path) -> None:
    """Vectors may go, and may be laid out by a run that did not assign them: the next run puts both right."""
    rows, _ = planted(60)
    warehouse = make(spark, tmp_path / "w", ids(60), rows, ["x"] * 60)
    cluster.run(spark, config(warehouse))
    warehouse.delta(VECTORS).delete(F.col("image_id").isin(ids(2)))
    assert cluster.run(spark, config(warehouse)).rows_in == 0
    members, clusters, _ = contents(warehouse)
    assert [m[0] for m in members] == ids(60)[2:]
    assert sorted(size for _, size, _, _ in clusters) == [11, 11, 12, 12, 12]
    warehouse.delta(MEMBERS).delete(F.col("image_id").isin(ids(60)[5:8]))
    assert cluster.run(spark, config(warehouse)).rows_in == 3
    assert contents(warehouse)[:2] == (members, clusters)


def test_copies_zeros_and_the_number_of_clusters(spark: SparkSession, tmp_path: Path) -> None:
    """10,000 identical frames take one cluster of ten; zero and NaN vectors are quarantined; auto leaves its curve."""
    frames = np.tile(planted(1)[0], (10_000, 1))
    others = unit(np.random.default_rng(2).standard_normal((300, DIM)).astype(np.float32))
    odd = np.stack([np.zeros(DIM), np.full(DIM, np.nan)]).astype(np.float32)
    rows = np.concatenate([frames, others, odd])
    image_ids = ids(len(rows))
    warehouse = make(spark, tmp_path / "w", image_ids, rows, ["x"] * len(rows))
    summary = cluster.run(spark, config(warehouse, n_clusters="10"))
    assert (summary.rows_in, summary.rows_out, summary.quarantined) == (10_302, 10_300, 2)
    cluster_of = {m["image_id"]: m["cluster_id"] for m in read(warehouse, MEMBERS)}
    assert len({cluster_of[i] for i in image_ids[:10_000]}) == 1
    sizes = sorted(r["size"] for r in read(warehouse, CLUSTERS))
    assert len(sizes) == 10
    assert sizes[-1] >= 10_000
    refused = read(warehouse, QUARANTINE)
    assert {(r["image_id"], r["stage"], r["reason"]) for r in refused} == {
        (i, "cluster", "no_direction") for i in image_ids[-2:]
    }
    with pytest.raises(UserError, match=r"--n-clusters 10301: there are 10,300 images; ask for 10,300 or fewer"):
        cluster.run(spark, config(warehouse, n_clusters="10301"))
    auto = cluster.run(spark, config(warehouse, n_clusters="auto", refit=True))
    curve = read(warehouse, CLUSTER_CURVE)
    chosen = [r["n_clusters"] for r in curve if r["chosen"]]
    assert len(curve) == 5  # 8 to 30 clusters: 301 distinct vectors place no more
    assert [str(n) for n in chosen] == [auto.details["n_clusters"]]


def test_identical_images_only_are_one_cluster(spark: SparkSession, tmp_path: Path) -> None:
    rows = np.tile(planted(1)[0], (30, 1))
    warehouse = make(spark, tmp_path / "w", ids(30), rows, ["x"] * 30)
    summary = cluster.run(spark, config(warehouse, n_clusters="4"))
    assert summary.notes == ("4 clusters were asked for, and the images fill 1",)
    (only,) = read(warehouse, CLUSTERS)
    assert (only["size"], only["nearest_cluster_id"]) == (30, None)
    assert only["cohesion"] == pytest.approx(1, abs=1e-5)
    assert {m["second_cluster_id"] for m in read(warehouse, MEMBERS)} == {None}


def test_no_vector_at_all_is_a_mistake(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = make(spark, tmp_path / "w", ids(1), planted(1)[0], ["x"])
    warehouse.delta(VECTORS).delete()
    with pytest.raises(UserError, match="there is no vector to cluster; run compress first"):
        cluster.run(spark, config(warehouse))


def test_same_seed_same_clusters_however_the_rows_are_cut(spark: SparkSession) -> None:
    rows = unit(np.random.default_rng(0).standard_normal((3000, DIM)).astype(np.float32))
    order = np.random.default_rng(1).permutation(3000)
    image_ids = np.array(ids(3000))
    found = []
    for shuffled, parts in ((np.arange(3000), 1), (order, 5)):
        frame = vectors_frame(spark, image_ids[shuffled].tolist(), rows[shuffled]).repartition(parts)
        blocks = in_blocks(frame, DIM, F.pmod(F.xxhash64("image_id"), F.lit(2)) == 0).persist()
        sample = read_sample(blocks, DIM)
        found.append((sample, fit(blocks, sample.vectors, 12)))
        blocks.unpersist()
    (one_sample, one), (other_sample, other) = found
    assert one_sample.image_ids == other_sample.image_ids
    assert one.centroids.tobytes() == other.centroids.tobytes()
    assert one.cost == other.cost


def test_both_engines_find_the_planted_groups(spark: SparkSession) -> None:
    rows, _ = planted(400)
    blocks = in_blocks(vectors_frame(spark, ids(400), rows), DIM, F.lit(True)).persist()
    sample = read_sample(blocks, DIM).vectors
    ours = fit(blocks, sample, GROUPS)
    theirs = fit(blocks, sample, GROUPS, engine="mllib")
    blocks.unpersist()
    assert ours.cost <= theirs.cost * 1.0001
    if len(theirs.centroids) == GROUPS and theirs.cost < ours.cost * 1.01:
        np.testing.assert_allclose((ours.centroids @ theirs.centroids.T).max(axis=1), 1, atol=1e-4)
