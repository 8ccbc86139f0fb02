"""Calibrate: truth → the score from which a match shows the same thing, kept with the projection (``calibrations``).

Labels are asked the question that a search asks: is the best match the same thing? The threshold is then checked on
things that it was not learned from. Pairs that a file gives are taken as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import CalibrateConfig
from imgsearch.errors import UserError
from imgsearch.images.image_names import csv_frame, resolved, some_name
from imgsearch.labels.calibration import Calibration, Check, calibrate, check_on_others, first_matches
from imgsearch.lake.batches import Batches, sample_rows
from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.rows import frame_of
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.tables import CALIBRATIONS, IMAGES
from imgsearch.vectors import unpack

#: Labelled images that ask for their best match among each other: 20 MB at 256-d. Of more a sample.
MAX_IMAGES = 20_000
#: Fewer things than these say little about others.
FEW_THINGS = 20
#: Scores that the driver sorts: 5 bytes a pair. Of more a sample.
MAX_PAIRS = 12_500_000
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n")
SCORE_SCHEMA = "score float, matches boolean"


class Answers(NamedTuple):
    """``scores`` (n,) float32 and ``matching`` (n,) bool of pairs, the number of images in them; where a label says
    what is right, ``things`` (n,): the label of the image that asked."""

    scores: NDArray[np.float32]
    matching: NDArray[np.bool_]
    n_images: int
    things: NDArray[np.str_] | None = None


def run(spark: SparkSession, config: CalibrateConfig) -> RunSummary:
    """Learn the threshold from ``config.truth`` and replace this projection's in ``calibrations``."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    rows = csv_frame(warehouse, config.truth, "truth", ["path"])
    vectors = vectors_of(warehouse, projection.projection_id).select("image_id", "vector")
    has_pairs = "other_path" in rows.columns
    answers = (pair_scores if has_pairs else label_scores)(warehouse, rows, vectors, config)
    calibration = calibrate(answers.scores, answers.matching, config.target_precision)
    if calibration is None:
        raise UserError(
            f"--truth {config.truth}: none of its {len(answers.scores):,} {'pairs' if has_pairs else 'best matches'} "
            f"({int(answers.matching.sum()):,} are right) gives a threshold with precision {config.target_precision}; "
            "give more of them, or a lower --target-precision"
        )
    check = None
    if answers.things is not None:
        check = check_on_others(answers.scores, answers.matching, answers.things, config.target_precision)
    write_calibration(warehouse, projection.projection_id, calibration, check, config)
    n = rows.count()
    return finish(
        warehouse, "calibrate", watch, rows_in=n, rows_out=n,
        details=_details(calibration, answers) | _check_details(check), notes=_notes(check, config),
    )  # fmt: skip


def _details(calibration: Calibration, answers: Answers) -> dict[str, object]:
    return {
        "threshold": f"{calibration.threshold:.4f}", "precision": f"{calibration.precision:.4f}",
        "recall": f"{calibration.recall:.4f}",
        ("pairs" if answers.things is None else "best_matches"): calibration.n_pairs,
        "right": calibration.n_matching, "images": answers.n_images,
    }  # fmt: skip


def _check_details(check: Check | None) -> dict[str, object]:
    if check is None:
        return {}
    return {
        "things": check.n_groups, "precision_on_other_things": f"{check.precision:.4f} ± {check.spread:.4f}",
        "answered_there": f"{check.answered:.4f}",
    }  # fmt: skip


def _notes(check: Check | None, config: CalibrateConfig) -> tuple[str, ...]:
    """What the figures do not cover."""
    if check is None:
        return ("the figures are those of these pairs; a file with labels is checked on other things too",)
    notes = []
    if check.n_groups < FEW_THINGS:
        notes.append(
            f"the truth has {check.n_groups} things, too few to say how the threshold does on others; "
            f"label {FEW_THINGS} or more"
        )
    if not check.precision >= config.target_precision - 0.02:
        notes.append(
            f"on things that it was not learned from the threshold has precision {check.precision:.2f}, not "
            f"{config.target_precision}; label more things, or ask for a higher --target-precision"
        )
    return tuple(notes)


def pair_scores(warehouse: TableStore, rows: DataFrame, vectors: DataFrame, config: CalibrateConfig) -> Answers:
    """The pairs of a file with ``path``, ``other_path`` and ``match``; at most ``MAX_PAIRS`` of them."""
    pairs = warehouse.stage(read_pairs(warehouse, rows, config), "pairs")
    named = pairs.select("image_id").unionByName(pairs.select(F.col("other_id").alias("image_id"))).distinct()
    paired = warehouse.stage(vectors.join(named, on="image_id", how="left_semi"), "paired-vectors")
    both = pairs.join(paired.withColumnRenamed("vector", "left"), on="image_id", how="inner").join(
        paired.select(F.col("image_id").alias("other_id"), F.col("vector").alias("right")), on="other_id", how="inner"
    )
    some = sample_rows(both, "line", MAX_PAIRS, pairs.count())
    table = some.select("left", "right", "matches").mapInArrow(score_batches, SCORE_SCHEMA).toArrow()
    matching = table.column("matches").to_numpy(zero_copy_only=False).astype(bool)
    return Answers(table.column("score").to_numpy().astype(np.float32), matching, paired.count())


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


def label_scores(warehouse: TableStore, rows: DataFrame, vectors: DataFrame, config: CalibrateConfig) -> Answers:
    """Each labelled image with the best match among the others; of more than ``MAX_IMAGES`` those with the lowest ids,
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
    things = np.array(table.column("label").to_pylist(), dtype=np.str_)
    scores, matching = first_matches(unpack(table.column("vector")), things)
    return Answers(scores, matching, table.num_rows, things)


def write_calibration(
    warehouse: TableStore, projection_id: str, calibration: Calibration, check: Check | None, config: CalibrateConfig
) -> None:
    """Put the threshold in the place of the one there was for this projection."""
    row = (
        projection_id, calibration.threshold, config.target_precision, calibration.precision, calibration.recall,
        calibration.n_pairs, calibration.n_matching, config.truth, datetime.now(UTC), *_check_columns(check),
    )  # fmt: skip
    frame = frame_of(warehouse.spark, CALIBRATIONS, [row])
    warehouse.replace(CALIBRATIONS, frame, where=f"projection_id = '{projection_id}'")


def _check_columns(check: Check | None) -> tuple[float | int | None, ...]:
    if check is None:
        return (None, None, None, None)
    precision, spread = (None if np.isnan(value) else value for value in check[:2])
    return (check.n_groups, precision, spread, check.answered)
