"""Real photographs: the figures that the product promises, one pipeline a set. Skipped where the data is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from imgsearch import pipeline
from imgsearch.config import EvaluateConfig, PipelineConfig, SearchConfig
from imgsearch.labels import evaluate
from imgsearch.lake.store import TableStore
from imgsearch.retrieval import search
from imgsearch.tables import MATCHES, METRICS

DATA = Path(os.environ.get("IMGSEARCH_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
N_QUERIES = 20

pytestmark = pytest.mark.real_data


def measured(spark: SparkSession, name: str, n_clusters: int, folder: Path) -> dict[tuple[str, int | None], float]:
    """Metrics of one set, after a pipeline with the default encoder and 256 components. Some of its own images are
    searched for, and have to come first."""
    data = DATA / name
    if not (data / "truth.csv").is_file():
        pytest.skip(f"no real photographs at {data} (IMGSEARCH_REAL_DATA names another folder)")
    w = str(folder / "w")
    done = pipeline.run(
        spark,
        PipelineConfig(input=str(data / "images"), warehouse=w, n_components=256, n_clusters=str(n_clusters)),
    )
    assert done.quarantined == 0
    queries = folder / "queries"
    queries.mkdir()
    for path in sorted(p for p in (data / "images").rglob("*") if p.is_file())[:: done.rows_in // N_QUERIES][
        :N_QUERIES
    ]:
        (queries / f"{len(list(queries.iterdir()))}{path.suffix}").symlink_to(path.resolve())
    search.run(spark, SearchConfig(warehouse=w, queries=str(queries), top_k=5))
    matches = TableStore.open(spark, w).read(MATCHES).toArrow().to_pandas()
    first = matches[matches["rank"] == 1]
    assert len(first) == N_QUERIES
    assert (first["query_id"] == first["image_id"]).all()
    assert (first["score"] > 0.9999).all()
    evaluate.run(spark, EvaluateConfig(warehouse=w, truth=str(data / "truth.csv")))
    rows = TableStore.open(spark, w).read(METRICS).collect()
    return {(r["metric"], r["k"]): r["value"] for r in rows}


def test_grocery(spark: SparkSession, tmp_path: Path) -> None:
    metrics = measured(spark, "grocery", 4 * 81, tmp_path)
    assert metrics["precision_at_k", 1] >= 0.945
    assert metrics["precision_at_k", 10] >= 0.69


def test_neu_det(spark: SparkSession, tmp_path: Path) -> None:
    metrics = measured(spark, "neu_det", 4 * 6, tmp_path)
    assert metrics["precision_at_k", 1] >= 0.99
    assert metrics["map", None] >= 0.78
    assert metrics["purity", None] >= 0.95
