"""A person's CSV of names → rows of the table ``labels``: it adds to what stands, and says nothing twice."""

from __future__ import annotations

import getpass
import uuid
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.labels.names import Names
from imgsearch.lake.store import TableStore
from imgsearch.tables import CLUSTERS, LABELS


def add_names(warehouse: TableStore, projection_id: str, names: Names, present: Names) -> None:
    """Append the names that differ from those ``present``; a name of a file wins over an earlier one."""
    parts = [
        part
        for part in (_of_clusters(warehouse, projection_id, names, present), _of_images(names, present))
        if part is not None
    ]
    if not parts:
        return
    rows = parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1], allowMissingColumns=True)
    now, who, run = datetime.now(UTC), f"{_login()}, by a file", uuid.uuid4().hex
    about = F.concat_ws("|", F.lit(run), "kind", F.coalesce("cluster_id", F.lit(-1)), F.array_join("image_ids", ","))
    rows = rows.withColumns(
        {"label_id": F.md5(about), "made_at": F.lit(now), "made_by": F.lit(who), "action": F.lit("name")}
    )
    warehouse.append(LABELS, warehouse.stage(rows, "labels"))


def _of_clusters(warehouse: TableStore, projection_id: str, names: Names, present: Names) -> DataFrame | None:
    """Clusters with a new name, each with its medoid, by which it is found again after a re-fit."""
    new = [(c, label) for c, label in sorted(names.of_cluster.items()) if present.of_cluster.get(c) != label]
    if not new:
        return None
    frame = warehouse.spark.createDataFrame(new, "cluster_id int, label string")
    clusters = warehouse.read(CLUSTERS).where(F.col("projection_id") == projection_id)
    about = clusters.select("cluster_id", "projection_id", "medoid_id", F.col("size").alias("n_images"))
    no_images = F.array().cast("array<string>").alias("image_ids")
    return frame.join(about, on="cluster_id", how="left").select("*", F.lit("cluster").alias("kind"), no_images)


def _of_images(names: Names, present: Names) -> DataFrame | None:
    """Images with a new name."""
    new = names.of_image.join(present.of_image, on=["image_id", "label"], how="left_anti")
    if new.isEmpty():
        return None
    return new.select(
        "label", F.array("image_id").alias("image_ids"), F.lit("image").alias("kind"),
        F.lit(1).cast("bigint").alias("n_images"), F.lit(None).cast("int").alias("cluster_id"),
    )  # fmt: skip


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
