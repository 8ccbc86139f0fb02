"""Copies that were edited: candidates by views, confirmed by the geometric check, in groups without chains.

A pair counts where the check says that both are one picture. Where it abstains (too plain to tell, or a file that is
gone) the cosine decides, as without ``--augment``; where it says no, the pair is out, whatever the cosine; so is a pair
that somebody said is not the same.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.config import DedupConfig, ways_of
from imgsearch.duplicates.candidates import candidates
from imgsearch.duplicates.grouping import groups
from imgsearch.duplicates.near import scored
from imgsearch.duplicates.parting import apart
from imgsearch.encoders.encoder import same_encoder
from imgsearch.encoders.extras import require
from imgsearch.encoders.udf import broadcast_graph
from imgsearch.encoders.view_rows import Viewer, view_rows
from imgsearch.geometry.frames import Check, checked, feature_rows
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.sources import first_paths, in_tasks
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import EncoderRecord, gallery_of
from imgsearch.retrieval.join import image_key

#: Images that one task looks at: 9 views take it a tenth of a second each.
TASK_IMAGES = 128
PAIR = ["left_key", "right_key"]
#: No cosine is below it.
EVERY = -2.0


def edited_groups(
    warehouse: TableStore, record: EncoderRecord, projection: Projection, images: DataFrame, config: DedupConfig
) -> DataFrame:
    """``grouping.GROUPED_SCHEMA`` with ``view``, ``inliers`` and ``agreement``: each copy with its representative.

    ``images``: ``image_id`` and ``path``, a row a file.
    """
    require("verify", "dedup --augment")
    gallery = gallery_of(warehouse, projection.projection_id).select("image_id", "vector")
    files = first_paths(images).join(gallery.select("image_id"), on="image_id", how="left_semi")
    views = _views(warehouse, record, projection, files, config)
    met = warehouse.stage(candidates(views, gallery, warehouse.stage), "met")
    keyed = gallery.select(image_key("image_id").alias("image_key"), "vector")
    pairs = scored(met.select(*PAIR), keyed, keyed, EVERY).join(met, on=PAIR, how="inner")
    pairs = warehouse.stage(pairs, "pairs")
    judged = warehouse.stage(checked(pairs, _features(warehouse, files, pairs), Check(copy=True)), "judged")
    is_near = F.col("is_copy").isNull() & (F.col("score") >= F.lit(config.threshold).cast("float"))
    copies = warehouse.stage(judged.where(F.col("is_copy") | is_near), "copies")
    copies = copies.join(F.broadcast(apart(warehouse)), on=PAIR, how="left_anti")
    alone = warehouse.spark.createDataFrame([], "image_key bigint, weight int")
    grouped = groups(copies.select(*PAIR, "score"), alone, warehouse.stage)
    ends = "image_key", "representative_key"
    grouped = grouped.withColumns({"left_key": F.least(*ends), "right_key": F.greatest(*ends)})
    return grouped.join(copies.drop("score"), on=PAIR, how="inner").drop(*PAIR)


def _views(
    warehouse: TableStore, record: EncoderRecord, projection: Projection, files: DataFrame, config: DedupConfig
) -> DataFrame:
    """``VIEW_SCHEMA``: every image in the views that ``--augment`` names."""
    spark = warehouse.spark
    encoder = same_encoder(record.encoder_id, record.name, record.settings)
    graph, shared = broadcast_graph(spark, encoder), spark.sparkContext.broadcast(projection)
    viewer = Viewer(encoder, graph, shared, ways_of(str(config.augment)), DecodeLimits())
    return warehouse.stage(view_rows(in_tasks(warehouse, files, TASK_IMAGES), viewer), "views")


def _features(warehouse: TableStore, files: DataFrame, pairs: DataFrame) -> DataFrame:
    """The features of every image that is in a pair."""
    keys = pairs.select(F.explode(F.array(*PAIR)).alias("image_key")).distinct()
    some = files.withColumn("image_key", image_key("image_id")).join(keys, on="image_key", how="left_semi")
    rows = feature_rows(in_tasks(warehouse, some.drop("image_key"), TASK_IMAGES), DecodeLimits())
    return warehouse.stage(rows, "features")
