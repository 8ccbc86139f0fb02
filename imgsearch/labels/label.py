"""Label: names that a person gave to clusters or to single images → ``image_labels``, with a confidence each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.config import LabelConfig
from imgsearch.errors import UserError
from imgsearch.labels.names import ImageNames
from imgsearch.labels.votes import ABSTAIN, ORIGINS, Named, spread
from imgsearch.lake.csv_files import read_csv
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import vectors_of
from imgsearch.tables import IMAGE_LABELS, IMAGES, MEMBERS
from imgsearch.vectors import unpack


def run(spark: SparkSession, config: LabelConfig) -> RunSummary:
    """Spread the names in ``config.labels`` and replace ``image_labels``: one row for each row of ``images``."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    images = warehouse.read(IMAGES).select("image_id", "path", "source").persist()
    members = warehouse.read(MEMBERS)
    vectors = vectors_of(warehouse, members.agg(F.max("projection_id")).collect()[0][0])
    rows = read_csv(config.labels, "labels", ["label"])
    names = ImageNames([tuple(r) for r in images.collect()])
    joined = members.join(vectors, on=["image_id", "projection_id"]).select(
        "image_id", "cluster_id", "score", "is_outlier", "vector"
    )
    table = joined.orderBy("image_id").toArrow()
    ids = table.column("image_id").to_pylist()
    clusters = table.column("cluster_id").to_numpy()
    of_cluster, of_image = read_names(rows, config.labels, names, set(clusters.tolist()))
    words = sorted(set(of_cluster.values()) | set(of_image.values()))
    number = {word: i for i, word in enumerate(words)}
    own = np.array([number[of_image[i]] if i in of_image else ABSTAIN for i in ids], np.int64)
    cluster_labels = np.full(int(clusters.max()) + 1 if len(clusters) else 1, ABSTAIN, np.int64)
    for cluster_id, word in of_cluster.items():
        cluster_labels[cluster_id] = number[word]
    matrix = unpack(table.column("vector"))
    named = np.flatnonzero(own >= 0)
    outlier = table.column("is_outlier").to_numpy(zero_copy_only=False).astype(bool)
    result = spread(
        matrix, clusters, own, Named(matrix[named], clusters[named], own[named]), cluster_labels, outlier,
        scores=table.column("score").to_numpy(), min_confidence=config.min_confidence,
    )  # fmt: skip
    labelled = pa.table(
        {
            "image_id": ids,
            "label": pa.array([words[i] if i >= 0 else None for i in result.labels], pa.string()),
            "confidence": result.confidence,
            "origin": [ORIGINS[i] for i in result.origins],
        }
    )
    frame = images.select("image_id", "path").join(spark.createDataFrame(labelled), on="image_id", how="left")
    frame = frame.withColumn("origin", F.coalesce("origin", F.lit("none")))
    n = images.count()
    warehouse.replace(IMAGE_LABELS, frame)
    written = warehouse.read(IMAGE_LABELS)
    counts = {r["origin"]: r["count"] for r in written.groupBy("origin").count().collect()}
    images.unpersist()
    return finish(
        warehouse, "label", watch, rows_in=n, rows_out=sum(counts.values()),
        details={"names": len(words), **{name: counts.get(name, 0) for name in ("person", "vote", "cluster", "none")}},
    )  # fmt: skip


def read_names(
    rows: list[dict[str, str]], file: str, names: ImageNames, clusters: set[int]
) -> tuple[dict[int, str], dict[str, str]]:
    """``cluster_id`` → name and ``image_id`` → name. Raises ``UserError`` for a row that names nothing there is."""
    keys = [k for k in ("cluster_id", "image_id", "path") if k in rows[0]]
    if not keys:
        raise UserError(f"--labels {file}: has no column 'cluster_id', 'image_id' or 'path'; it has {list(rows[0])}")
    of_cluster: dict[int, str] = {}
    of_image: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        if not row["label"]:
            continue  # a list with names still to be filled in
        cluster, image = row.get("cluster_id", ""), row.get("image_id") or row.get("path") or ""
        if image:
            image_id = names.find(image)
            if image_id is None:
                raise UserError(
                    f"--labels {file} line {line}: no ingested image {image!r}; paths look like {names.some()!r}"
                )
            if of_image.setdefault(image_id, row["label"]) != row["label"]:
                raise UserError(
                    f"--labels {file} line {line}: {image!r} has two names, "
                    f"{of_image[image_id]!r} and {row['label']!r}; keep one"
                )
        elif cluster:
            if not cluster.isdigit() or int(cluster) not in clusters:
                raise UserError(
                    f"--labels {file} line {line}: there is no cluster {cluster!r}; "
                    f"the table 'clusters' has {min(clusters)} to {max(clusters)}"
                )
            if of_cluster.setdefault(int(cluster), row["label"]) != row["label"]:
                raise UserError(f"--labels {file} line {line}: cluster {cluster} has two names; keep one")
        else:
            raise UserError(f"--labels {file} line {line}: names neither a cluster nor an image; fill in one of {keys}")
    if not of_cluster and not of_image:
        raise UserError(f"--labels {file}: every 'label' is empty; write a name into at least one row")
    return of_cluster, of_image
