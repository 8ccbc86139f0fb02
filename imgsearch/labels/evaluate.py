"""Evaluate: leave-one-out retrieval and cluster quality against labels that are known → ``metrics``.

The truth is a table: whatever has to do with it is a join. Leave one out is a self-join in blocks of queries, by
default of a sample whose error is printed.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import EvaluateConfig
from imgsearch.errors import UserError
from imgsearch.images.image_names import csv_frame, resolved, some_name
from imgsearch.labels.agreement import cluster_metrics, label_metrics, search_metrics
from imgsearch.labels.comparison import COMPARED, Measured, compare, metrics_of, report
from imgsearch.labels.retrieval_quality import CUTS, EXACT, Labelled, part, quality
from imgsearch.lake.csv_files import write_file
from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.owned import check_file
from imgsearch.lake.rows import frame_of
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.retrieval.probes import RECALL_METRIC
from imgsearch.retrieval.searches import answers_of
from imgsearch.tables import (
    CONFIDENCE_METRICS,
    IMAGE_LABELS,
    IMAGES,
    MATCHES,
    MEMBERS,
    METRICS,
    PROJECTION_METRICS,
)
from imgsearch.terminal import render_table

Metric = tuple[str, int | None, float, float | None]


class Truth(NamedTuple):
    """``labels``: ``image_id`` and ``label``, each image once; ``of_path``: ``path`` and ``label`` as they were given;
    ``n_unknown`` rows name no ingested image."""

    labels: DataFrame
    of_path: DataFrame
    n_unknown: int


def run(spark: SparkSession, config: EvaluateConfig) -> RunSummary:
    """Measure against ``config.truth``, replace ``metrics``, print them."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    if config.output is not None:
        check_file(config.output, "metric")
    truth = read_truth(warehouse, config.truth, config.label_column)
    labelled = labelled_vectors(warehouse, projection.projection_id, truth, config)
    metrics = retrieval_metrics(labelled, config.expand, spread=config.spread)
    compared = compare(warehouse, projection, labelled, config.expand) if config.compare else []
    matches = answers_of(warehouse, MATCHES, config.search_id)
    members, labels = (warehouse.read_or_empty(spec) for spec in (MEMBERS, IMAGE_LABELS))
    members = members.where(F.col("projection_id") == projection.projection_id)
    agreement = cluster_metrics(members, truth.labels) + label_metrics(labels, truth.labels)
    agreement += search_metrics(matches, truth.labels, truth.of_path, CUTS)
    metrics += [(name, k, value, None) for name, k, value in agreement]
    metrics += metrics_of(compared)
    # that one is the last search's, those of projections are the last fit's, and those of confidence are label's
    others = f"metric <> '{RECALL_METRIC}' AND NOT startswith(metric, '{PROJECTION_METRICS}')"
    others += f" AND NOT startswith(metric, '{CONFIDENCE_METRICS}')"
    warehouse.replace(METRICS, frame_of(spark, METRICS, metrics), where=others)
    _tell(metrics, compared, config)
    n, n_labels = truth.labels.agg(F.count("*"), F.count_distinct("label")).collect()[0]
    notes = _notes(truth, labelled, compared, config)
    details: dict[str, object] = {"truth": config.truth, "labels": n_labels, "without_vector": n - labelled.size}
    details["queries"] = labelled.n_queries
    return finish(warehouse, "evaluate", watch, rows_in=n, rows_out=n, details=details, notes=notes)


def read_truth(warehouse: TableStore, path: str, label_column: str) -> Truth:
    """The labels that a CSV gives; copies of an image count once, by the first row that names one. ``UserError``."""
    images = warehouse.read(IMAGES).select("image_id", "path", "source")
    csv_rows = csv_frame(warehouse, path, "truth", ["path", label_column])
    csv_rows = csv_rows.select("line", "path", F.col(quoted_part(label_column)).alias("label"))
    rows = warehouse.stage(resolved(csv_rows, images, "path"), "truth-rows")
    first = F.min(F.struct("line", "label")).alias("first")
    usable = rows.where(F.col("image_id").isNotNull() & (F.col("label") != ""))
    labels = usable.groupBy("image_id").agg(first).select("image_id", "first.label")
    labels = warehouse.stage(labels, "truth-labels")
    if labels.isEmpty():
        one = rows.orderBy("line").limit(1).collect()[0]
        raise UserError(
            f"--truth {path}: none of its {rows.count():,} paths is an ingested image (first: {one['path']!r}); "
            f"paths are relative to the ingested folder, such as {some_name(images)!r}"
        )
    n_unknown = rows.where(F.col("image_id").isNull()).count()
    return Truth(labels, rows.groupBy("path").agg(first).select("path", "first.label"), n_unknown)


def labelled_vectors(warehouse: TableStore, projection_id: str, truth: Truth, config: EvaluateConfig) -> Labelled:
    """The vectors of labelled images. Raises ``UserError`` where they are too few."""
    vectors = vectors_of(warehouse, projection_id).select("image_id", "vector")
    joined = vectors.join(truth.labels, on="image_id", how="inner")
    frame = joined.select("image_id", F.xxhash64("label").alias("class"), "vector")
    frame = warehouse.stage(frame, "labelled")
    size = frame.count()
    if size < 3:
        raise UserError(f"--truth {config.truth}: only {size} of its images have vectors; run embed and compress first")
    if config.expand >= size:
        raise UserError.option("expand", config.expand, f"only {size} images have vectors and a label")
    return Labelled(frame, size, min(size, config.sample or size))


def retrieval_metrics(labelled: Labelled, expand: int, *, spread: bool = False) -> list[Metric]:
    """Leave-one-out retrieval. Images whose label nobody shares ask for what is not there and are left out."""
    metrics: list[Metric] = []
    for prefix, m in (("", 0), ("expanded_", expand), ("spread_", int(spread))):
        if prefix and not m:
            continue
        is_spread = prefix == "spread_"
        estimates = quality(part(labelled), spread=True) if is_spread else quality(labelled, m)
        if not estimates:
            raise UserError("--truth: every label has one image only; leave-one-out needs two of a kind")
        for name in ("precision", "hit_rate"):
            cuts = [cut for cut in CUTS if f"{name}_{cut}" in estimates]
            metrics += [(f"{prefix}{name}_at_k", cut, *estimates[f"{name}_{cut}"]) for cut in cuts]
        half = (estimates["ap_high"].value - estimates["ap_low"].value) / 2  # of what counting in steps leaves open
        metrics.append((f"{prefix}map", None, estimates["ap"].value, estimates["ap"].error + half))
    sampled = labelled.n_queries < labelled.size
    return [(name, k, value, error if sampled or error else None) for name, k, value, error in metrics]


def _notes(truth: Truth, labelled: Labelled, compared: list[Measured], config: EvaluateConfig) -> tuple[str, ...]:
    notes = [f"{truth.n_unknown} rows of the truth name no ingested image"] if truth.n_unknown else []
    if labelled.size > EXACT and (config.spread or config.compare):
        notes.append(f"--spread and --compare were measured among {EXACT:,} of the {labelled.size:,} labelled images")
    if any(each.way.name.startswith("learned") for each in compared):
        notes.append("the learned projection may have seen these labels: its rows are then better than a search is")
    return tuple(notes)


def _tell(metrics: list[Metric], compared: list[Measured], config: EvaluateConfig) -> None:
    """Print the metrics and the comparison, and write them to ``--output``."""
    rows = [
        {"metric": name, "k": "" if k is None else str(k), "value": f"{value:.4f}"}
        | {"standard error": "" if not error else f"{error:.4f}"}
        for name, k, value, error in metrics
        if not name.startswith(COMPARED)
    ]
    columns = ["metric", "k", "value"] + (["standard error"] if any(r["standard error"] for r in rows) else [])
    print(render_table(rows, columns), flush=True)
    if compared:
        print(f"\n{report(compared)}", flush=True)
    if config.output is not None:
        names, cuts, values, _ = zip(*metrics, strict=True)
        table = pa.table({"metric": names, "k": pa.array(cuts, pa.int32()), "value": values})
        write_file(table, config.output)
