"""Calibrate: known pairs → the score from which two images match, kept with the projection (``calibrations``)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import CalibrateConfig
from imgsearch.errors import UserError
from imgsearch.images.image_names import csv_frame, resolved, some_name
from imgsearch.labels.calibration import Calibration, calibrate, labelled_pairs
from imgsearch.lake.batches import Batches, sample_rows
from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.rows import frame_of
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.tables import CALIBRATIONS, IMAGES
from imgsearch.vectors import unpack

#: All pairs of labelled images are looked at; of more images than these a sample: 12 million pairs.
MAX_IMAGES = 5_000
#: Scores that the driver sorts: 5 bytes a pair. Of more a sample.
MAX_PAIRS = 12_500_000
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n")
SCORE_SCHEMA = "score float, matches boolean"

Scores = tuple[NDArray[np.float32], NDArray[np.bool_], int]


def run(spark: SparkSession, config: CalibrateConfig) -> RunSummary:
    """Learn the threshold from ``config.truth`` and replace this projection's in ``calibrations``."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    rows = csv_frame(warehouse, config.truth, "truth", ["path"])
    vectors = vectors_of(warehouse, projection.projection_id).select("image_id", "vector")
    has_pairs = "other_path" in rows.columns
    scores, matching, n_images = (
        pair_scores(warehouse, rows, vectors, config) if has_pairs else label_scores(warehouse, rows, vectors, config)
    )
    calibration = calibrate(scores, matching, config.target_precision)
    if calibration is None:
        raise UserError(
            f"--truth {config.truth}: none of its {len(scores):,} pairs ({int(matching.sum()):,} are matches) gives "
            f"a threshold with precision {config.target_precision}; give more pairs, or a lower --target-precision"
        )
    write_calibration(warehouse, projection.projection_id, calibration, config)
    n = rows.count()
    return finish(
        warehouse, "calibrate", watch, rows_in=n, rows_out=n,
        details={
            "threshold": f"{calibration.threshold:.4f}", "precision": f"{calibration.precision:.4f}",
            "recall": f"{calibration.recall:.4f}", "pairs": calibration.n_pairs, "matching": calibration.n_matching,
            "images": n_images,
        },
    )  # fmt: skip


def pair_scores(warehouse: TableStore, rows: DataFrame, vectors: DataFrame, config: CalibrateConfig) -> Scores:
    """(scores, matches, images) of the pairs of a file with ``path``, ``other_path`` and ``match``; at most
    ``MAX_PAIRS`` of them."""
    pairs = warehouse.stage(read_pairs(warehouse, rows, config), "pairs")
    named = pairs.select("image_id").unionByName(pairs.select(F.col("other_id").alias("image_id"))).distinct()
    paired = warehouse.stage(vectors.join(named, on="image_id", how="left_semi"), "paired-vectors")
    both = pairs.join(paired.withColumnRenamed("vector", "left"), on="image_id", how="inner").join(
        paired.select(F.col("image_id").alias("other_id"), F.col("vector").alias("right")), on="other_id", how="inner"
    )
    some = sample_rows(both, "line", MAX_PAIRS, pairs.count())
    table = some.select("left", "right", "matches").mapInArrow(score_batches, SCORE_SCHEMA).toArrow()
    matching = table.column("matches").to_numpy(zero_copy_only=False).astype(bool)
    return table.column("score").to_numpy().astype(np.float32), matching, paired.count()


def score_batches(batches: Batches) -> Batches:
    """(left, right, matches) batches of packed vectors → ``SCORE_SCHEMA`` batches."""
    for batch in batches:
        if len(batch):
            scores = np.einsum("nd,nd->n", unpack(batch.column(0)), unpack(batch.column(1))).astype(np.float32)
            yield pa.RecordBatch.from_arrays([pa.array(scores), batch.column(2)], names=["score", "matches"])


def read_pairs(warehouse: TableStore, rows: DataFrame, config: CalibrateConfig) -> DataFrame:
    """``line``, ``image_id``, ``other_id``, ``matches``. Raises ``UserError`` for a row that names no image."""
    value = F.lower("match") if "match" in rows.columns else F.lit("1")
    rows = rows.select("line", "path", "other_path", value.alias("match"))
    wrong = rows.where(~F.col("match").isin(*YES, *NO)).orderBy("line").first()
    if wrong is not None:
        raise UserError(f"--truth {config.truth} line {wrong['line']}: match is {wrong['match']!r}; write 1 or 0")
    images = warehouse.read(IMAGES).select("image_id", "path", "source")
    pairs = resolved(resolved(rows, images, "path"), images, "other_path", "other_id")
    unknown = pairs.where(F.col("image_id").isNull() | F.col("other_id").isNull()).orderBy("line").first()
    if unknown is not None:
        name = unknown["path"] if unknown["image_id"] is None else unknown["other_path"]
        raise UserError(
            f"--truth {config.truth} line {unknown['line']}: no ingested image is called {name!r}; "
            f"paths are relative to the ingested folder, such as {some_name(images)!r}"
        )
    apart = pairs.where(F.col("image_id") != F.col("other_id"))
    return apart.select("line", "image_id", "other_id", F.col("match").isin(*YES).alias("matches"))


def label_scores(warehouse: TableStore, rows: DataFrame, vectors: DataFrame, config: CalibrateConfig) -> Scores:
    """(scores, matches, images) of all pairs of labelled images; of more than ``MAX_IMAGES`` those with the lowest ids,
    which are hashes."""
    if config.label_column not in rows.columns:
        raise UserError(
            f"--truth {config.truth}: has no column {config.label_column!r}; "
            f"it has {[c for c in rows.columns if c != 'line']}; "
            "name it with --label-column, or give pairs: path, other_path, match"
        )
    images = warehouse.read(IMAGES).select("image_id", "path", "source")
    named = resolved(
        rows.select("line", "path", F.col(quoted_part(config.label_column)).alias("label")), images, "path"
    )
    usable = named.where(F.col("image_id").isNotNull() & (F.col("label") != ""))
    first = usable.groupBy("image_id").agg(F.min(F.struct("line", "label")).alias("first"))
    labels = warehouse.stage(first.select("image_id", "first.label"), "labels")
    if labels.isEmpty():
        one = rows.orderBy("line").limit(1).collect()[0]
        raise UserError(
            f"--truth {config.truth}: none of its {rows.count():,} paths is an ingested image "
            f"(first: {one['path']!r}); paths are relative to the ingested folder, such as {some_name(images)!r}"
        )
    some = labels.orderBy("image_id").limit(MAX_IMAGES)
    table = vectors.join(some, on="image_id", how="inner").orderBy("image_id").toArrow()
    scores, matching = labelled_pairs(unpack(table.column("vector")), np.array(table.column("label").to_pylist()))
    return scores, matching, table.num_rows


def write_calibration(
    warehouse: TableStore, projection_id: str, calibration: Calibration, config: CalibrateConfig
) -> None:
    """Put the threshold in the place of the one there was for this projection."""
    row = (
        projection_id, calibration.threshold, config.target_precision, calibration.precision, calibration.recall,
        calibration.n_pairs, calibration.n_matching, config.truth,
    )  # fmt: skip
    frame = frame_of(warehouse.spark, CALIBRATIONS, [row]).withColumn("created_at", F.current_timestamp())
    warehouse.replace(CALIBRATIONS, frame, where=f"projection_id = '{projection_id}'")
