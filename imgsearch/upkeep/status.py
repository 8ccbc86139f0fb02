"""Status: what is in a warehouse, what ran last, and the next step. It writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.config import StatusConfig
from imgsearch.errors import LAUNCHER
from imgsearch.lake.store import TableStore
from imgsearch.tables import ALL_TABLES, DRIFT, EMBEDDINGS, ENCODERS, PROJECTIONS, RUNS, VECTORS
from imgsearch.terminal import render_table

LAST_RUNS = 10
#: A table that is empty, and the job that fills it, in the order of the pipeline.
STEPS = (
    ("images", "ingest --input FOLDER", "no image was ingested"),
    ("embeddings", "embed", "no image was embedded"),
    ("vectors", "compress", "there are no vectors yet"),
    ("clusters", "cluster", "there are no clusters yet"),
    ("labels", "review", "nothing was named yet"),
    ("image_labels", "label", "the names were not spread yet"),
)


def run(spark: SparkSession, config: StatusConfig) -> None:
    """Print the tables with their rows, the encoders, the last runs, drift, and what to do next."""
    store = TableStore.open(spark, config.warehouse)
    rows = {spec.name: store.read(spec).count() for spec in ALL_TABLES if store.exists(spec)}
    print(f"{store.location}\n")
    print(render_table([{"table": name, "rows": n} for name, n in rows.items()], ["table", "rows"]))
    for title, lines in (
        ("encoders", _encoders(store)),
        ("last runs", _last_runs(store)),
        ("drift", _drift(store)),
    ):
        if lines:
            print(f"\n{title}:\n{render_table(lines)}")
    print(f"\nnext: {next_step(rows, config.warehouse, _is_refit_due(store))}", flush=True)


def next_step(rows: Mapping[str, int], warehouse: str, is_refit_due: bool) -> str:
    """What to run next, as one sentence with the command.

    >>> next_step({"images": 3}, "W", False)
    'no image was embedded: `./spark-submit.sh embed --warehouse W`'
    """
    is_named = bool(rows.get("labels") or rows.get("image_labels"))  # older warehouses have no table `labels`
    for table, command, reason in STEPS:
        if not rows.get(table) and not (table == "labels" and is_named):
            job, _, options = command.partition(" ")
            return f"{reason}: `{' '.join(filter(None, [LAUNCHER, job, '--warehouse', warehouse, options]))}`"
    if rows["vectors"] < rows["embeddings"]:
        return f"some embeddings have no vector: `{LAUNCHER} compress --warehouse {warehouse}`"
    if is_refit_due:
        return f"a re-fit of the clusters is due: `{LAUNCHER} cluster --warehouse {warehouse} --refit`"
    return f"everything is up to date: `{LAUNCHER} search --warehouse {warehouse} --queries FOLDER`"


def _encoders(store: TableStore) -> list[dict[str, Any]]:
    """One row an encoder: its embeddings, its latest projection and the vectors in it."""
    if not store.exists(ENCODERS):
        return []
    embeddings = store.read_or_empty(EMBEDDINGS).groupBy("encoder_id").agg(F.count("*").alias("embeddings"))
    latest = store.read_or_empty(PROJECTIONS).groupBy("encoder_id")
    projections = latest.agg(F.max_by("projection_id", "created_at").alias("projection_id"))
    vectors = store.read_or_empty(VECTORS).groupBy("projection_id").agg(F.count("*").alias("vectors"))
    frame = store.read(ENCODERS).select("encoder_id", "name", "dim").join(embeddings, on="encoder_id", how="left")
    frame = frame.join(projections, on="encoder_id", how="left").join(vectors, on="projection_id", how="left")
    columns = ("name", "encoder_id", "dim", "embeddings", "projection_id", "vectors")
    return [row.asDict() for row in frame.select(*columns).orderBy("name", "encoder_id").collect()]


def _last_runs(store: TableStore) -> list[dict[str, Any]]:
    if not store.exists(RUNS):
        return []
    frame = store.read(RUNS).orderBy(F.desc("started_at")).limit(LAST_RUNS)
    columns = ("started_at", "job", "rows_in", "rows_out", "quarantined", "seconds")
    return [row.asDict() for row in frame.select(*columns).collect()]


def _drift(store: TableStore) -> list[dict[str, Any]]:
    if not store.exists(DRIFT):
        return []
    frame = store.read(DRIFT).orderBy(F.desc("measured_at")).limit(3)
    columns = ("measured_at", "event", "images", "outlier_share", "mean_score", "refit_due", "reason")
    return [row.asDict() for row in frame.select(*columns).collect()]


def _is_refit_due(store: TableStore) -> bool:
    lines = _drift(store)
    return bool(lines and lines[0]["refit_due"])
