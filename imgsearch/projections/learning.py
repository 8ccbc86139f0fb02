"""Learn a projection from the names that people gave to images: read the names, cross-validate, and decide."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.images.image_names import csv_frame, resolved, some_name
from imgsearch.lake.batches import sample_rows
from imgsearch.lake.rows import frame_of
from imgsearch.lake.store import TableStore
from imgsearch.preflight import WORDS
from imgsearch.projections.adoption import Comparison, Quality, compare, learn, too_few
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import vectors_of
from imgsearch.projections.wccn import combined
from imgsearch.tables import IMAGE_LABELS, IMAGES, METRICS, PROJECTION_METRICS
from imgsearch.terminal import render_table
from imgsearch.vectors import Ids, Matrix, unpack

TABLE = WORDS["compress", "labels"]
"""What ``--labels`` says for the names of single images in the warehouse itself."""
CLASS_IMAGES = 100  # of a name that are used, at most
NAMED_IMAGES = 5_000  # that are used, about, at most: whole names are left out above it


class Learned(NamedTuple):
    """``projection``: the one that was adopted, else ``None``. ``comparison``: ``None`` where names were too few."""

    projection: Projection | None
    comparison: Comparison | None
    note: str


def named_images(warehouse: TableStore, labels: str) -> DataFrame:
    """``image_id`` and ``label``, a row an image, from a CSV or, for ``TABLE``, from what people named one by one.

    A name that was only given to a cluster is not a name of each of its images. Raises ``UserError`` for a file that
    names no image, and where ``image_labels`` has no name by a person.
    """
    names = warehouse.stage(_in_table(warehouse) if labels == TABLE else _in_file(warehouse, labels), "named-images")
    if not names.isEmpty():
        return names
    if labels == TABLE:
        raise UserError(
            f"--labels {TABLE}: no image in {warehouse.location} was named by a person; name images on the page of "
            f"`{LAUNCHER} review` and run `{LAUNCHER} label`, or give --labels FILE.csv"
        )
    raise UserError(
        f"--labels {labels}: none of its rows gives a label to an ingested image; paths look like "
        f"{some_name(warehouse.read(IMAGES))!r}"
    )


def _in_table(warehouse: TableStore) -> DataFrame:
    rows = warehouse.read_or_empty(IMAGE_LABELS).where((F.col("origin") == "person") & F.col("label").isNotNull())
    return rows.groupBy("image_id").agg(F.min("label").alias("label"))


def _in_file(warehouse: TableStore, file: str) -> DataFrame:
    rows = csv_frame(warehouse, file, "labels", ["label"])
    keys = [key for key in ("image_id", "path") if key in rows.columns]
    if not keys:
        columns = [column for column in rows.columns if column != "line"]
        raise UserError(f"--labels {file}: has no column 'path' or 'image_id'; it has {columns}")
    images = warehouse.read(IMAGES).select("image_id", "path", "source")
    image = F.coalesce(*(F.when(F.col(key) != "", F.col(key)) for key in keys))
    named = rows.where(F.col("label") != "").select("line", "label", image.alias("image")).where("image IS NOT NULL")
    found = resolved(named, images, "image").where(F.col("image_id").isNotNull())
    return found.groupBy("image_id").agg(F.min_by("label", "line").alias("label"))


def learn_projection(warehouse: TableStore, names: DataFrame, plain: Projection) -> Learned:
    """Cross-validate on the vectors of ``plain`` that have a name, and learn a projection if unseen classes gain."""
    vectors, classes = _named_vectors(warehouse, names, plain.projection_id)
    problem = too_few(classes)
    if problem is not None:
        return Learned(None, None, f"no projection was learned: {problem}; the plain one is used")
    comparison = compare(vectors, classes)
    if not comparison.is_adopted:
        change = f"mAP {comparison.gain:+.4f}, precision@1 {comparison.gain_at_1:+.4f}"
        return Learned(
            None, comparison, f"the learned projection was declined: unseen classes {change}; the plain one is used"
        )
    learned = combined(plain, learn(vectors, classes, comparison.shrinkage))
    return Learned(
        learned, comparison,
        f"search {plain.projection_id} (plain) with --encoder {plain.projection_id}; `compress --refit` returns to it; "
        "clusters, map and thresholds belong to a projection: run cluster and calibrate again",
    )  # fmt: skip


def _named_vectors(warehouse: TableStore, names: DataFrame, projection_id: str) -> tuple[Matrix, Ids]:
    """(n, d) unit vectors and their class numbers (n,) from 0: at most ``CLASS_IMAGES`` of a name."""
    vectors = vectors_of(warehouse, projection_id).select("image_id", "vector")
    order = Window.partitionBy("label").orderBy(F.xxhash64("image_id"), "image_id")
    ids = names.join(vectors.select("image_id"), on="image_id", how="left_semi")
    ids = ids.withColumn("place", F.row_number().over(order)).where(F.col("place") <= CLASS_IMAGES).drop("place")
    ids = warehouse.stage(ids, "names-to-learn")
    ids = sample_rows(ids, "label", NAMED_IMAGES, ids.count())
    table = vectors.join(ids, on="image_id", how="inner").orderBy("image_id").toArrow()
    labels = np.asarray(table.column("label").to_pylist(), dtype=object)
    classes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return unpack(table.column("vector")), classes


def tell(warehouse: TableStore, learned: Learned) -> dict[str, object]:
    """Print plain against learned vectors, keep the figures in ``metrics``; returns details for the summary."""
    comparison = learned.comparison
    if comparison is None:
        return {"learned": "declined"}
    figures = {
        (vectors, classes): quality
        for classes, learned_quality in (("unseen", comparison.unseen), ("seen", comparison.seen))
        for vectors, quality in (("plain", comparison.plain), ("learned", learned_quality))
    }
    rows = [{"vectors": v, "classes": c, **_rounded(quality)} for (v, c), quality in figures.items()]
    print(render_table(rows, list(rows[0])), flush=True)
    metrics = [
        (f"{PROJECTION_METRICS}{vectors}_{classes}_{name}", k, float(np.nanmean(values)), None)
        for (vectors, classes), quality in figures.items()
        for name, k, values in (("map", None, quality[0]), ("precision_at_k", 1, quality[1]))
    ]
    where = f"startswith(metric, '{PROJECTION_METRICS}')"
    warehouse.replace(METRICS, frame_of(warehouse.spark, METRICS, metrics), where=where)
    return {
        "learned": "adopted" if learned.projection is not None else "declined",
        "shrinkage": comparison.shrinkage,
        "unseen_map": f"{np.nanmean(comparison.plain[0]):.4f}->{np.nanmean(comparison.unseen[0]):.4f}",
        "seen_map": f"{np.nanmean(comparison.plain[0]):.4f}->{np.nanmean(comparison.seen[0]):.4f}",
    }


def _rounded(quality: Quality) -> dict[str, str]:
    names = ("mAP", "precision@1")
    return {name: f"{np.nanmean(values):.4f}" for name, values in zip(names, quality, strict=True)}
