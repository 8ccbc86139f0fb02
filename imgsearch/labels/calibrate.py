"""Calibrate: known pairs → the score from which two images match, kept with the projection (``calibrations``)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.config import CalibrateConfig
from imgsearch.errors import UserError
from imgsearch.labels.calibration import Calibration, calibrate, labelled_pairs
from imgsearch.labels.names import ImageNames
from imgsearch.lake.csv_files import read_csv
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.tables import CALIBRATIONS, IMAGES
from imgsearch.vectors import Matrix, unpack

#: All pairs of labelled images are looked at; of more images than these a sample: 12 million pairs.
MAX_IMAGES = 5_000
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n")
KEPT = (
    "projection_id string, threshold float, wanted_precision float, precision float, recall float, n_pairs bigint, "
    "n_matching bigint, source string"
)

Pair = tuple[str, str, bool]


def run(spark: SparkSession, config: CalibrateConfig) -> RunSummary:
    """Learn the threshold from ``config.truth`` and replace this projection's in ``calibrations``."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    rows = read_csv(config.truth, "truth", ["path"])
    images = warehouse.read(IMAGES).select("image_id", "path", "source").toArrow()
    names = ImageNames(list(zip(*(images.column(c).to_pylist() for c in ("image_id", "path", "source")), strict=True)))
    pairs = read_pairs(rows, names, config) if "other_path" in rows[0] else None
    labels = None if pairs is not None else read_labels(rows, names, config)
    wanted = sorted(labels) if labels is not None else sorted({name for a, b, _ in pairs or [] for name in (a, b)})
    ids, vectors = vectors_by_id(warehouse, projection.projection_id, wanted)
    if labels is not None:
        scores, matching = labelled_pairs(vectors, np.array([labels[i] for i in ids]))
    else:
        scores, matching = scored_pairs(ids, vectors, pairs or [])
    found = calibrate(scores, matching, config.precision)
    if found is None:
        raise UserError(
            f"--truth {config.truth}: none of its {len(scores):,} pairs ({int(matching.sum()):,} are matches) gives "
            f"a threshold with precision {config.precision}; give more pairs, or a lower --precision"
        )
    keep(warehouse, projection.projection_id, found, config)
    return finish(
        warehouse, "calibrate", watch, rows_in=len(rows), rows_out=len(rows),
        details={
            "threshold": f"{found.threshold:.4f}", "precision": f"{found.precision:.4f}",
            "recall": f"{found.recall:.4f}", "pairs": found.n_pairs, "matching": found.n_matching, "images": len(ids),
        },
    )  # fmt: skip


def read_pairs(rows: list[dict[str, str]], names: ImageNames, config: CalibrateConfig) -> list[Pair]:
    """(image_id, other image_id, whether they match) of a file with ``path``, ``other_path`` and ``match``."""
    pairs: list[Pair] = []
    for line, row in enumerate(rows, start=2):
        value = row.get("match", "1").lower()
        if value not in YES + NO:
            raise UserError(f"--truth {config.truth} line {line}: match is {value!r}; write 1 or 0")
        one, other = names.find(row["path"]), names.find(row["other_path"])
        for name, image_id in ((row["path"], one), (row["other_path"], other)):
            if image_id is None:
                raise UserError(
                    f"--truth {config.truth} line {line}: no ingested image is called {name!r}; "
                    f"paths are relative to the ingested folder, such as {names.some()!r}"
                )
        if one is not None and other is not None and one != other:
            pairs.append((one, other, value in YES))
    return pairs


def read_labels(rows: list[dict[str, str]], names: ImageNames, config: CalibrateConfig) -> dict[str, str]:
    """``image_id`` → label, of the rows that name an ingested image; a sample where there are very many."""
    if config.label_column not in rows[0]:
        raise UserError(
            f"--truth {config.truth}: has no column {config.label_column!r}; it has {list(rows[0])}; "
            "name it with --label-column, or give pairs: path, other_path, match"
        )
    found: dict[str, str] = {}
    for row in rows:
        image_id = names.find(row["path"])
        if image_id is not None and row[config.label_column]:
            found.setdefault(image_id, row[config.label_column])
    if not found:
        raise UserError(
            f"--truth {config.truth}: none of its {len(rows):,} paths is an ingested image "
            f"(first: {rows[0]['path']!r}); paths are relative to the ingested folder, such as {names.some()!r}"
        )
    if len(found) > MAX_IMAGES:
        chosen = np.random.default_rng(0).permutation(len(found))[:MAX_IMAGES]
        ids = sorted(found)
        found = {ids[i]: found[ids[i]] for i in chosen}
    return found


def vectors_by_id(warehouse: TableStore, projection_id: str, wanted: list[str]) -> tuple[list[str], Matrix]:
    """The wanted images that have a vector, in order of id."""
    sought = warehouse.spark.createDataFrame(pa.table({"image_id": pa.array(wanted, pa.string())}))
    vectors = vectors_of(warehouse, projection_id).join(F.broadcast(sought), on="image_id", how="left_semi")
    table = vectors.select("image_id", "vector").toArrow().sort_by("image_id")
    return table.column("image_id").to_pylist(), unpack(table.column("vector"))


def scored_pairs(ids: list[str], vectors: Matrix, pairs: list[Pair]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The score of each pair whose images both have a vector, and whether it matches."""
    row_of = {image_id: row for row, image_id in enumerate(ids)}
    usable = [(row_of[a], row_of[b], match) for a, b, match in pairs if a in row_of and b in row_of]
    left, right, matching = np.array(usable, np.int64).reshape(-1, 3).T
    scores: NDArray[np.float32] = np.einsum("nd,nd->n", vectors[left], vectors[right]).astype(np.float32)
    return scores, matching.astype(bool)


def keep(warehouse: TableStore, projection_id: str, found: Calibration, config: CalibrateConfig) -> None:
    """Put the threshold in the place of the one there was for this projection."""
    row = (
        projection_id, found.threshold, config.precision, found.precision, found.recall, found.n_pairs,
        found.n_matching, config.truth,
    )  # fmt: skip
    frame = warehouse.spark.createDataFrame([row], KEPT).withColumn("created_at", F.current_timestamp()).coalesce(1)
    warehouse.replace(CALIBRATIONS, frame, where=f"projection_id = '{projection_id}'")
