"""Names from a person's file: for clusters, and for single images."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.images.image_names import resolved, some_name
from imgsearch.lake.store import TableStore
from imgsearch.tables import IMAGES

COLUMNS = ("cluster_id", "image_id", "path")


class Names(NamedTuple):
    """``of_cluster``: name of each cluster that has one; ``of_image``: ``image_id`` and ``label``, a row an image.

    ``without``: ``image_id`` of images that were taken out of their cluster and have no name; ``None`` for none.
    ``junk``: clusters that a person called junk.
    """

    of_cluster: dict[int, str]
    of_image: DataFrame
    without: DataFrame | None = None
    junk: frozenset[int] = frozenset()


def read_names(warehouse: TableStore, rows: DataFrame, file: str, clusters: list[int]) -> Names:
    """What ``rows`` of ``file`` name (``line``, ``label`` and some of ``COLUMNS``, as text).

    ``clusters``: the numbers there are. Rows without a label are left out. Raises ``UserError`` for the first row that
    names nothing there is, or names it otherwise than an earlier row.
    """
    keys = [name for name in COLUMNS if name in rows.columns]
    if not keys:
        raise UserError(
            f"--labels {file}: has no column 'cluster_id', 'image_id' or 'path'; "
            f"it has {[c for c in rows.columns if c != 'line']}"
        )
    images = warehouse.read(IMAGES).select("image_id", "path", "source")
    named = rows.where(F.col("label") != "").select("line", "label", _image(keys).alias("image"), _cluster(keys))
    resolved_names = warehouse.stage(resolved(named, images, "image"), "names")
    bad = _first_bad(resolved_names, clusters)
    if bad is not None:
        raise UserError(f"--labels {file} line {bad['line']}: {_problem(bad, images, clusters, keys)}")
    of_cluster = resolved_names.where(_of_cluster()).select("cluster", "label").distinct().collect()  # a row a cluster
    of_image = resolved_names.where(_of_image()).groupBy("image_id").agg(F.min("label").alias("label"))
    if not of_cluster and of_image.isEmpty():
        raise UserError(f"--labels {file}: every 'label' is empty; write a name into at least one row")
    return Names({int(row["cluster"]): row["label"] for row in of_cluster}, of_image)


def _image(keys: list[str]) -> Column:
    """How a row names an image; null where it does not."""
    filled = [F.when(F.col(key) != "", F.col(key)) for key in ("image_id", "path") if key in keys]
    return F.coalesce(*filled, F.lit(None).cast("string"))


def _cluster(keys: list[str]) -> Column:
    text = F.when(F.col("cluster_id") != "", F.col("cluster_id")) if "cluster_id" in keys else F.lit(None)
    return text.cast("string").alias("cluster")


def _of_image() -> Column:
    return F.col("image").isNotNull()


def _of_cluster() -> Column:
    return F.col("image").isNull() & F.col("cluster").isNotNull()


def _first_bad(names: DataFrame, clusters: list[int]) -> Row | None:
    """The first row with a ``problem``, and the ``other`` name where that is one: one row comes to the driver."""
    thing = F.when(_of_image(), F.col("image_id")).when(
        _of_cluster(), F.concat(F.lit("#"), F.expr("try_cast(cluster AS INT)"))
    )
    rows = names.withColumn("thing", thing)
    first = rows.where(F.col("thing").isNotNull()).groupBy("thing").agg(F.min(F.struct("line", "label")).alias("first"))
    rows = rows.join(first, on="thing", how="left").withColumn("other", F.col("first.label"))
    is_cluster = F.expr("try_cast(cluster AS INT)").isin(clusters)
    problem = (
        F.when(_of_image() & F.col("image_id").isNull(), "no image")
        .when(F.col("image").isNull() & F.col("cluster").isNull(), "nothing")
        .when(_of_cluster() & ~F.coalesce(is_cluster, F.lit(False)), "no cluster")
        .when(F.col("other") != F.col("label"), "two names")
    )
    return rows.withColumn("problem", problem).where(F.col("problem").isNotNull()).orderBy("line").first()


def _problem(bad: Row, images: DataFrame, clusters: list[int], keys: list[str]) -> str:
    """The sentence for the row that ``_first_bad`` gave."""
    if bad["problem"] == "no image":
        return f"no ingested image {bad['image']!r}; paths look like {some_name(images)!r}"
    if bad["problem"] == "no cluster":
        return f"there is no cluster {bad['cluster']!r}; the table 'clusters' has {min(clusters)} to {max(clusters)}"
    if bad["problem"] == "nothing":
        return f"names neither a cluster nor an image; fill in one of {keys}"
    if bad["image"] is None:
        return f"cluster {bad['cluster']} has two names; keep one"
    return f"{bad['image']!r} has two names, {bad['other']!r} and {bad['label']!r}; keep one"
