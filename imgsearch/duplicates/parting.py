"""Near-copies that somebody said are not the same (``labels``): they leave the group, and may form one of their own."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.duplicates.grouping import groups
from imgsearch.duplicates.near import Stage, homes, near_pairs
from imgsearch.labels.decisions import Decision, pairs_apart, standing
from imgsearch.lake.store import TableStore
from imgsearch.retrieval.join import image_key
from imgsearch.tables import LABELS

APART_SCHEMA = "left_key bigint, right_key bigint"


def apart(warehouse: TableStore) -> DataFrame:
    """``APART_SCHEMA``: pairs of images that are not the same, as decisions stand now, each in both orders."""
    spark = warehouse.spark
    rows = warehouse.read_or_empty(LABELS).where("kind = 'copies'").collect()  # one a click
    decisions = standing(Decision.of_row(row.asDict()) for row in rows)
    pairs = sorted({tuple(sorted(pair)) for d in decisions if d.action == "not_same" for pair in pairs_apart(d)})
    both = [*pairs, *((b, a) for a, b in pairs)]
    frame = spark.createDataFrame(both, "left_id string, right_id string")
    return frame.select(image_key("left_id").alias("left_key"), image_key("right_id").alias("right_key"))


def parted(
    grouped: DataFrame, pairs: DataFrame, vectors: DataFrame, codebook: Codebook, threshold: float, stage: Stage
) -> DataFrame:
    """``grouped`` (``grouping.GROUPED_SCHEMA``) without the rows that ``pairs`` (``APART_SCHEMA``) forbid.

    Images that leave a representative so are grouped among themselves, by pairs that are not forbidden.
    """
    forbidden = F.broadcast(pairs)
    is_apart = (F.col("image_key") == F.col("left_key")) & (F.col("representative_key") == F.col("right_key"))
    leaving = stage(grouped.join(forbidden, on=is_apart, how="left_semi").select("image_key"), "parted")
    if leaving.isEmpty():
        return grouped
    staying = grouped.join(leaving, on="image_key", how="left_anti")
    own = homes(vectors, codebook).join(F.broadcast(leaving), on="image_key", how="left_semi")
    alike = near_pairs(stage(own, "parted-vectors"), codebook, threshold, stage)
    allowed = alike.join(forbidden, on=["left_key", "right_key"], how="left_anti")
    alone = leaving.withColumn("weight", F.lit(1))
    return staying.unionByName(groups(stage(allowed, "parted-pairs"), alone, stage))
