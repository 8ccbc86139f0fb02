"""A warehouse in the form of the first release, as its tables' texts were then: every job runs on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch import pipeline
from imgsearch.clusters import cluster
from imgsearch.clusters.store import with_rank
from imgsearch.config import (
    CalibrateConfig,
    ClusterConfig,
    CompressConfig,
    DedupConfig,
    DropConfig,
    EmbedConfig,
    EvaluateConfig,
    ExportConfig,
    IngestConfig,
    LabelConfig,
    PipelineConfig,
    SearchConfig,
)
from imgsearch.duplicates import dedup
from imgsearch.encoders import embed
from imgsearch.images import ingest
from imgsearch.labels import calibrate, evaluate, label
from imgsearch.lake.rows import struct
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.report import export
from imgsearch.retrieval import search
from imgsearch.tables import ALL_TABLES, CLUSTERS, EMBEDDINGS, IMAGES, MEMBERS, RUNS
from imgsearch.upkeep import drop

N_KINDS, N_VISITS = 3, 5
#: The tables' texts of the first release. They stay as they are.
FIRST_RELEASE = {
    "images": (
        "image_id STRING NOT NULL, path STRING NOT NULL, source STRING NOT NULL, format STRING, width INT, height "
        "INT, n_bytes BIGINT, modified_at TIMESTAMP, ingested_at TIMESTAMP"
    ),
    "contents": "image_id STRING NOT NULL, content BINARY NOT NULL",
    "quarantine": (
        "path STRING NOT NULL, image_id STRING, stage STRING NOT NULL, encoder_id STRING, reason STRING NOT NULL, "
        "detail STRING, quarantined_at TIMESTAMP"
    ),
    "encoders": (
        "encoder_id STRING NOT NULL, name STRING NOT NULL, dim INT NOT NULL, settings STRING NOT NULL, created_at "
        "TIMESTAMP"
    ),
    "embeddings": (
        "image_id STRING NOT NULL, encoder_id STRING NOT NULL, embedding BINARY NOT NULL, sharpness FLOAT, "
        "brightness FLOAT, contrast FLOAT, entropy FLOAT, embedded_at TIMESTAMP"
    ),
    "projections": (
        "projection_id STRING NOT NULL, encoder_id STRING NOT NULL, dim INT NOT NULL, n_components INT NOT NULL, "
        "whitening FLOAT NOT NULL, mean BINARY NOT NULL, components BINARY NOT NULL, scale BINARY NOT NULL, "
        "explained_variance BINARY NOT NULL, n_fitted BIGINT NOT NULL, engine STRING NOT NULL, storage STRING NOT "
        "NULL, path STRING, created_at TIMESTAMP"
    ),
    "vectors": "image_id STRING NOT NULL, projection_id STRING NOT NULL, cluster_id INT, vector BINARY NOT NULL",
    "clusters": (
        "cluster_id INT NOT NULL, projection_id STRING NOT NULL, size BIGINT NOT NULL, medoid_id STRING, "
        "medoid_path STRING, cohesion FLOAT, silhouette FLOAT, nearest_cluster_id INT, nearest_score FLOAT, "
        "metadata MAP<STRING, STRING>, fence FLOAT, centroid BINARY NOT NULL"
    ),
    "members": (
        "image_id STRING NOT NULL, projection_id STRING NOT NULL, cluster_id INT NOT NULL, score FLOAT NOT NULL, "
        "rank INT NOT NULL, is_outlier BOOLEAN NOT NULL, second_cluster_id INT, margin FLOAT"
    ),
    "cluster_events": (
        "fitted_at TIMESTAMP NOT NULL, event STRING NOT NULL, cluster_id INT NOT NULL, others ARRAY<INT>, images BIGINT"
    ),
    "cluster_curve": "n_clusters INT NOT NULL, criterion DOUBLE NOT NULL, chosen BOOLEAN NOT NULL",
    "drift": (
        "measured_at TIMESTAMP NOT NULL, projection_id STRING NOT NULL, event STRING NOT NULL, images BIGINT NOT "
        "NULL, outlier_share DOUBLE NOT NULL, mean_score DOUBLE NOT NULL, score_deviation DOUBLE NOT NULL, "
        "outlier_change DOUBLE, score_change DOUBLE, refit_due BOOLEAN NOT NULL, reason STRING"
    ),
    "image_labels": (
        "image_id STRING NOT NULL, path STRING NOT NULL, label STRING, confidence FLOAT, origin STRING NOT NULL"
    ),
    "matches": (
        "query_id STRING NOT NULL, query_path STRING, rank INT NOT NULL, image_id STRING NOT NULL, path STRING, "
        "score FLOAT NOT NULL, is_match BOOLEAN"
    ),
    "group_matches": (
        "query_id STRING NOT NULL, query_path STRING, rank INT NOT NULL, group_column STRING NOT NULL, "
        "group_value STRING NOT NULL, group_score FLOAT NOT NULL, image_rank INT NOT NULL, image_id STRING NOT "
        "NULL, path STRING, score FLOAT NOT NULL"
    ),
    "calibrations": (
        "projection_id STRING NOT NULL, threshold FLOAT NOT NULL, wanted_precision FLOAT NOT NULL, precision "
        "FLOAT NOT NULL, recall FLOAT NOT NULL, n_pairs BIGINT NOT NULL, n_matching BIGINT NOT NULL, source "
        "STRING NOT NULL, created_at TIMESTAMP"
    ),
    "duplicates": (
        "path STRING NOT NULL, image_id STRING NOT NULL, representative_id STRING NOT NULL, representative_path "
        "STRING, kind STRING NOT NULL, score FLOAT NOT NULL, group_size BIGINT NOT NULL"
    ),
    "leaks": (
        "path STRING NOT NULL, image_id STRING NOT NULL, other_path STRING, other_id STRING NOT NULL, "
        "other_warehouse STRING NOT NULL, kind STRING NOT NULL, score FLOAT NOT NULL"
    ),
    "metrics": "metric STRING NOT NULL, k INT, value DOUBLE NOT NULL",
    "runs": (
        "run_id STRING NOT NULL, job STRING NOT NULL, started_at TIMESTAMP NOT NULL, seconds DOUBLE NOT NULL, "
        "rows_in BIGINT NOT NULL, rows_out BIGINT NOT NULL, quarantined BIGINT NOT NULL, rows_per_second DOUBLE, "
        "versions_read MAP<STRING, BIGINT>, versions_written MAP<STRING, BIGINT>, details MAP<STRING, STRING>"
    ),
}
FORMER_NAMES = {"outlier_threshold": "fence"}


def written_as_then(spark: SparkSession, new: Path, old: Path) -> None:
    """Copy a warehouse's tables, each with the columns that it had in the first release."""
    warehouse = TableStore.open(spark, str(new))
    for spec in ALL_TABLES:
        if spec.name not in FIRST_RELEASE or not warehouse.exists(spec):
            continue
        frame = warehouse.read(spec)
        frame = frame.withColumnsRenamed(FORMER_NAMES)
        frame = with_rank(frame) if spec is MEMBERS else frame  # stored then, computed where it is needed now
        columns = struct(FIRST_RELEASE[spec.name])
        own = [name for name in frame.columns if name not in spec.columns and name not in columns.names]
        rows = frame.select(*[F.col(f.name).cast(f.dataType) for f in columns], *(own if spec.open else []))
        rows.write.format("delta").save(str(old / spec.name))


@pytest.fixture(scope="module")
def old(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path], tiny: str
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("old")
    for kind, visit in itertools.product(range(N_KINDS), range(N_VISITS)):
        draw(folder / "pictures" / f"kind={kind}" / f"{visit}.png", kind, visit)
    draw(folder / "more" / "new.png", 1, 77)
    draw(folder / "queries" / "q.png", 1, 50)
    names = [f"kind={k}/{v}.png,kind {k}\n" for k, v in itertools.product(range(N_KINDS), range(N_VISITS))]
    (folder / "names.csv").write_text("path,label\n" + "".join(names))
    w = str(folder / "new")
    pictures = str(folder / "pictures")
    pipeline.run(spark, PipelineConfig(input=pictures, warehouse=w, encoder=tiny, n_components=6, n_clusters="3"))
    label.run(spark, LabelConfig(warehouse=w, labels=str(folder / "names.csv")))
    search.run(spark, SearchConfig(warehouse=w, queries=str(folder / "queries"), top_k=3))
    written_as_then(spark, folder / "new", folder / "w")
    return folder, folder / "w"


def test_every_job_runs_on_it(spark: SparkSession, old: tuple[Path, Path], tiny: str) -> None:
    folder, place = old
    w, names, queries = str(place), str(folder / "names.csv"), str(folder / "queries")
    assert "fence" in spark.read.format("delta").load(f"{w}/clusters").columns
    thresholds = {r["cluster_id"]: r["fence"] for r in spark.read.format("delta").load(f"{w}/clusters").collect()}
    before = TableStore.open(spark, w).read(CLUSTERS).collect()
    assert {r["cluster_id"]: r["outlier_threshold"] for r in before} == thresholds
    search.run(spark, SearchConfig(warehouse=w, queries=queries, top_k=3))
    search.run(spark, SearchConfig(warehouse=w, queries=queries, top_k=2, nprobe=1))
    label.run(spark, LabelConfig(warehouse=w, labels=names))
    ingest.run(spark, IngestConfig(warehouse=w, input=str(folder / "more")))
    embed.run(spark, EmbedConfig(warehouse=w, encoder=tiny))
    compress.run(spark, CompressConfig(warehouse=w))
    cluster.run(spark, ClusterConfig(warehouse=w))
    assert_whole(spark, w)
    dedup.run(spark, DedupConfig(warehouse=w))
    calibrate.run(spark, CalibrateConfig(warehouse=w, truth=names))
    evaluate.run(spark, EvaluateConfig(warehouse=w, truth=names))
    export.run(spark, ExportConfig(warehouse=w, output=str(folder / "export")))
    compress.run(spark, CompressConfig(warehouse=w, refit=True, n_components=5))
    cluster.run(spark, ClusterConfig(warehouse=w, refit=True, n_clusters="4"))
    assert_whole(spark, w)
    versions = {row["format_version"] for row in TableStore.open(spark, w).read(RUNS).collect()}
    assert versions == {None, 2}
    drop.run(spark, DropConfig(warehouse=w, encoder=tiny))
    assert TableStore.open(spark, w).read(EMBEDDINGS).isEmpty()


def assert_whole(spark: SparkSession, w: str) -> None:
    """Each image has one embedding and one cluster."""
    warehouse = TableStore.open(spark, w)
    ids = sorted(row["image_id"] for row in warehouse.read(IMAGES).collect())
    assert len(ids) == N_KINDS * N_VISITS + 1
    assert sorted(row["image_id"] for row in warehouse.read(EMBEDDINGS).collect()) == ids
    assert sorted(row["image_id"] for row in warehouse.read(MEMBERS).collect()) == ids
    assert sum(row["size"] for row in warehouse.read(CLUSTERS).collect()) == len(ids)
