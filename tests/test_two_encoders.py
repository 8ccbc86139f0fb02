"""Two encoders in one warehouse: what is made of one leaves what was made of the other as it is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from imgsearch.clusters import cluster
from imgsearch.config import (
    ClusterConfig,
    CompressConfig,
    EmbedConfig,
    IngestConfig,
    LabelConfig,
    SearchConfig,
)
from imgsearch.encoders import embed
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.labels import label
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.retrieval import search
from imgsearch.tables import CLUSTER_CURVE, CLUSTERS, IMAGE_LABELS, MEMBERS, TableSpec

N_KINDS, N_VISITS = 3, 5


def rows(spark: SparkSession, where: str, spec: TableSpec) -> dict[str, list[tuple]]:
    """The rows of each projection, without the projection itself."""
    frame = TableStore.open(spark, where).read(spec)
    by_projection: dict[str, list[tuple]] = {}
    for row in frame.collect():
        values = tuple(str(v) for k, v in row.asDict().items() if k != "projection_id")
        by_projection.setdefault(row["projection_id"], []).append(values)
    return {projection_id: sorted(values) for projection_id, values in by_projection.items()}


def test_each_keeps_its_own_clusters(
    spark: SparkSession, tmp_path: Path, draw: Callable[..., Path], tiny: str, other_tiny: str
) -> None:
    w, pictures, queries = str(tmp_path / "w"), tmp_path / "pictures", tmp_path / "queries"
    for kind in range(N_KINDS):
        for visit in range(N_VISITS):
            draw(pictures / f"{kind}-{visit}.png", kind, visit)
    draw(queries / "q.png", 1, 99)
    ingest.run(spark, IngestConfig(input=str(pictures), warehouse=w))
    for encoder in (tiny, other_tiny):
        embed.run(spark, EmbedConfig(warehouse=w, encoder=encoder))
        compress.run(spark, CompressConfig(warehouse=w, encoder=encoder, n_components=6))
    cluster.run(spark, ClusterConfig(warehouse=w, encoder=tiny, n_clusters="3"))
    first = {spec.name: rows(spark, w, spec) for spec in (CLUSTERS, MEMBERS)}
    cluster.run(spark, ClusterConfig(warehouse=w, encoder=other_tiny, n_clusters="2"))
    for spec in (CLUSTERS, MEMBERS):
        after = rows(spark, w, spec)
        assert len(after) == 2
        assert {p: after[p] for p in first[spec.name]} == first[spec.name]
    assert sorted(len(each) for each in rows(spark, w, CLUSTERS).values()) == [2, 3]
    assert {len(each) for each in rows(spark, w, MEMBERS).values()} == {N_KINDS * N_VISITS}

    cluster.run(spark, ClusterConfig(warehouse=w, encoder=tiny, n_clusters="auto", refit=True))
    curves = rows(spark, w, CLUSTER_CURVE)
    assert len(curves) <= 1  # 15 images have no curve, and the other encoder's count was given
    assert len(rows(spark, w, CLUSTERS)) == 2

    for encoder in (tiny, other_tiny):
        output = tmp_path / "m.csv"
        config = SearchConfig(warehouse=w, queries=str(queries), encoder=encoder, nprobe=1, top_k=3, output=str(output))
        search.run(spark, config)
        with output.open() as file:
            assert all("/1-" in row["path"] for row in csv.DictReader(file))

    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{k}-0.png,kind {k}\n" for k in range(N_KINDS)))
    for encoder in (tiny, other_tiny):
        label.run(spark, LabelConfig(warehouse=w, labels=str(tmp_path / "labels.csv"), encoder=encoder))
        labels = TableStore.open(spark, w).read(IMAGE_LABELS).collect()
        assert len(labels) == N_KINDS * N_VISITS
        own = [row for row in labels if row["origin"] == "person"]
        assert {(row["path"].split("/")[-1], row["label"]) for row in own} == {
            (f"{k}-0.png", f"kind {k}") for k in range(N_KINDS)
        }
        spread = [row for row in labels if row["origin"] == "vote"]
        assert spread
        assert all(row["path"].split("/")[-1][0] == row["label"][-1] for row in spread)
    with pytest.raises(UserError, match="--encoder another: the embeddings"):
        label.run(spark, LabelConfig(warehouse=w, labels=str(tmp_path / "labels.csv"), encoder="another"))
