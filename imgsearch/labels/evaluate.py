"""Evaluate: leave-one-out retrieval and cluster quality against labels that are known → ``metrics``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.config import EvaluateConfig
from imgsearch.errors import UserError
from imgsearch.labels.metrics import hit_rate_at_k, nmi, precision_at_k, purity, retrieval
from imgsearch.labels.names import ImageNames
from imgsearch.lake.csv_files import read_csv, write_file
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.retrieval.expansion import expand_each
from imgsearch.retrieval.probes import RECALL_METRIC
from imgsearch.tables import IMAGE_LABELS, IMAGES, MATCHES, MEMBERS, METRICS
from imgsearch.terminal import render_table
from imgsearch.vectors import Matrix, unpack

CUTS = (1, 5, 10)
MAX_IMAGES = 30_000  # leave one out is quadratic; more than these are sampled

Metric = tuple[str, int | None, float]


def run(spark: SparkSession, config: EvaluateConfig) -> RunSummary:
    """Measure against ``config.truth``, replace ``metrics``, print them."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    rows = read_csv(config.truth, "truth", ["path", config.label_column])
    labels, n_unknown = _labels(warehouse, config, rows)
    ids = spark.createDataFrame(pa.table({"image_id": sorted(labels)}))
    vectors = vectors_of(warehouse, projection.projection_id)
    table = vectors.join(ids, on="image_id", how="inner").select("image_id", "vector").orderBy("image_id").toArrow()
    known = table.column("image_id").to_pylist()
    if len(known) < 3:
        raise UserError(
            f"--truth {config.truth}: only {len(known)} of its images have vectors; run embed and compress first"
        )
    if len(known) > MAX_IMAGES:
        chosen = np.sort(np.random.default_rng(0).permutation(len(known))[:MAX_IMAGES])
        table, known = table.take(chosen), [known[i] for i in chosen]
    truth = np.array([labels[i] for i in known])
    known_vectors = unpack(table.column("vector"), projection.n_components)
    metrics = evaluate(known_vectors, truth)
    if config.expand:
        if config.expand >= len(known_vectors):
            raise UserError.option(
                "expand", config.expand, f"only {len(known_vectors)} images have vectors and a label"
            )
        expanded = evaluate(known_vectors, truth, expand_each(known_vectors, config.expand))
        metrics += [(f"expanded_{name}", k, value) for name, k, value in expanded]
    metrics += _cluster_metrics(warehouse, labels) + _label_metrics(warehouse, labels)
    metrics += _search_metrics(warehouse, labels, {row["path"]: row[config.label_column] for row in rows})
    frame = spark.createDataFrame(metrics, "metric string, k int, value double").coalesce(1)
    warehouse.replace(METRICS, frame, where=f"metric <> '{RECALL_METRIC}'")  # that one is the last search's
    if config.output is not None:
        write_file(
            pa.table(
                {
                    "metric": [m[0] for m in metrics],
                    "k": pa.array([m[1] for m in metrics], pa.int32()),
                    "value": [m[2] for m in metrics],
                }
            ),
            config.output,
        )
    shown = [{"metric": name, "k": "" if k is None else str(k), "value": f"{value:.4f}"} for name, k, value in metrics]
    print(render_table(shown, ["metric", "k", "value"]), flush=True)
    without = len(labels) - len(known)
    notes = (f"{n_unknown} rows of the truth name no ingested image",) if n_unknown else ()
    return finish(
        warehouse, "evaluate", watch, rows_in=len(labels), rows_out=len(labels),
        details={"truth": config.truth, "labels": len(set(truth.tolist())), "without_vector": without}, notes=notes,
    )  # fmt: skip


def evaluate(vectors: Matrix, labels: NDArray[np.str_], queries: Matrix | None = None) -> list[Metric]:
    """Leave-one-out retrieval metrics. Images whose label nobody shares ask for what is not there and are left out.

    ``vectors``: (n, dim) float32 unit rows; ``labels``: (n,). ``queries``: (n, dim), what each image asks
    with, where that is not its own vector.
    """
    metrics: list[Metric] = []
    for cut in [c for c in CUTS if c < len(vectors)]:
        result = retrieval(vectors, labels, cut, queries)
        if np.isnan(result.average_precision).all():
            raise UserError("--truth: every label has one image only; leave-one-out needs two of a kind")
        metrics.append(("precision_at_k", cut, float(np.nanmean(result.precision_at_k))))
        metrics.append(("hit_rate_at_k", cut, float(np.nanmean(result.hit_rate_at_k))))
        mean_ap = float(np.nanmean(result.average_precision))
    metrics.sort(key=lambda m: (m[0] != "precision_at_k", m[1]))
    return [*metrics, ("map", None, mean_ap)]


def _labels(warehouse: TableStore, config: EvaluateConfig, rows: list[dict[str, str]]) -> tuple[dict[str, str], int]:
    """``image_id`` → label; copies of an image count once. Also how many rows named nothing."""
    images = warehouse.read(IMAGES).select("image_id", "path", "source").toArrow()
    names = ImageNames(list(zip(*(images.column(c).to_pylist() for c in ("image_id", "path", "source")), strict=True)))
    labels: dict[str, str] = {}
    n_unknown = 0
    for row in rows:
        image_id = names.find(row["path"])
        if image_id is None:
            n_unknown += 1
        elif row[config.label_column]:
            labels.setdefault(image_id, row[config.label_column])
    if not labels:
        raise UserError(
            f"--truth {config.truth}: none of its {len(rows):,} paths is an ingested image "
            f"(first: {rows[0]['path']!r}); "
            f"paths are relative to the ingested folder, such as {names.some()!r}"
        )
    return labels, n_unknown


def _cluster_metrics(warehouse: TableStore, labels: dict[str, str]) -> list[Metric]:
    if not warehouse.exists(MEMBERS):
        return []
    members = warehouse.read(MEMBERS).select("image_id", "cluster_id").toArrow()
    pairs = [
        (cluster_id, labels[image_id])
        for image_id, cluster_id in zip(members.column(0).to_pylist(), members.column(1).to_pylist(), strict=True)
        if image_id in labels
    ]
    if not pairs:
        return []
    clusters, truth = (np.array(column) for column in zip(*pairs, strict=True))
    return [("purity", None, purity(clusters, truth)), ("nmi", None, nmi(clusters, truth))]


def _label_metrics(warehouse: TableStore, labels: dict[str, str]) -> list[Metric]:
    """How often spread labels are right, where the truth's names are the ones that were given."""
    if not warehouse.exists(IMAGE_LABELS):
        return []
    given = (
        warehouse.read(IMAGE_LABELS).where(F.col("origin") != "person").select("image_id", "label").distinct().toArrow()
    )
    pairs = [
        (label, labels[image_id])
        for image_id, label in zip(given.column(0).to_pylist(), given.column(1).to_pylist(), strict=True)
        if image_id in labels
    ]
    named = [(label, truth) for label, truth in pairs if label is not None]
    if not named or not {label for label, _ in named} <= set(labels.values()):
        return []
    right = sum(label == truth for label, truth in named) / len(named)
    return [("label_accuracy", None, right), ("label_coverage", None, len(named) / len(pairs))]


def _search_metrics(warehouse: TableStore, labels: dict[str, str], of_path: dict[str, str]) -> list[Metric]:
    """How good the last search was, where the truth has rows for its queries too (by the end of their paths)."""
    if not warehouse.exists(MATCHES):
        return []
    found = warehouse.read(MATCHES).where(F.col("rank") <= max(CUTS)).select("query_path", "rank", "image_id").toArrow()
    ranked: dict[str, dict[int, bool]] = {}
    for query, rank, image_id in zip(*(found.column(i).to_pylist() for i in range(3)), strict=True):
        label = _label_of(query, of_path)
        if label is not None:
            ranked.setdefault(query, {})[rank] = labels.get(image_id) == label
    if not ranked:
        return []
    relevant = np.array([[answers.get(rank, False) for rank in range(1, max(CUTS) + 1)] for answers in ranked.values()])
    return [
        metric
        for cut in CUTS
        for metric in (
            ("search_precision_at_k", cut, float(precision_at_k(relevant, cut).mean())),
            ("search_hit_rate_at_k", cut, float(hit_rate_at_k(relevant, cut).mean())),
        )
    ]


def _label_of(path: str, of_path: dict[str, str]) -> str | None:
    parts = path.split("/")
    return next((of_path[tail] for i in range(len(parts)) if (tail := "/".join(parts[i:])) in of_path), None)
