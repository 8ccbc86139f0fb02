"""What the members of a cluster have in common: the commonest value of each carried column."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.tables import IMAGES

METADATA_VALUES = 50  # a column with more distinct values is no description of a cluster
KINDS = ("string", "date", "int", "boolean")


def top_metadata(images: DataFrame, members: DataFrame) -> DataFrame:
    """``cluster_id`` and ``metadata``: for each carried column its commonest value there, as ``value (62 %)``.

    Of values that are equally common the greatest; a column of more than ``METADATA_VALUES`` values is left out.
    """
    carried = _described_columns(images)
    if not carried:
        return images.sparkSession.createDataFrame([], "cluster_id int, metadata map<string,string>")
    rows = images.join(members.select("image_id", "cluster_id"), on="image_id", how="inner")
    pairs = F.create_map(*[x for c in carried for x in (F.lit(c), F.col(quoted_part(c)).cast("string"))])
    long = rows.select("cluster_id", F.explode(pairs).alias("name", "value"))
    counted = long.where(F.col("value").isNotNull()).groupBy("cluster_id", "name", "value").count()
    best = counted.groupBy("cluster_id", "name").agg(
        F.max(F.struct(F.col("count"), F.col("value"))).alias("top"), F.sum("count").alias("all")
    )
    text = F.format_string("%s (%.0f %%)", F.col("top.value"), F.col("top.count") * 100.0 / F.col("all"))
    return best.groupBy("cluster_id").agg(F.map_from_entries(F.collect_list(F.struct("name", text))).alias("metadata"))


def _described_columns(images: DataFrame) -> list[str]:
    """The carried columns with at most ``METADATA_VALUES`` values in ``images``; two rows come to the driver."""
    carried = [name for name, kind in images.dtypes if name not in IMAGES.columns and kind in KINDS]
    if carried:  # an estimate first: exact counts of a column with a value an image would cost a shuffle of all
        estimates = images.agg(*[F.approx_count_distinct(quoted_part(c)) for c in carried]).collect()[0]
        carried = [c for c, n in zip(carried, estimates, strict=True) if n <= 2 * METADATA_VALUES]
    if carried:
        counts = images.agg(*[F.count_distinct(quoted_part(c)) for c in carried]).collect()[0]
        carried = [c for c, n in zip(carried, counts, strict=True) if n <= METADATA_VALUES]
    return carried
