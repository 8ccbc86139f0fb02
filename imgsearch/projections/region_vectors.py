"""``regions`` → ``region_vectors``: parts of images, by the projection that was fitted on whole images."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.store import TableStore
from imgsearch.projections.pending import without_vector
from imgsearch.projections.projecting import project_batches
from imgsearch.projections.projection import Projection
from imgsearch.tables import BOX, REGION_VECTORS, REGIONS

KEYS = ("image_id", "region", *BOX)
PROJECTED = f"image_id string, region int, {', '.join(f'{name} float' for name in BOX)}, vector binary"


def write_region_vectors(warehouse: TableStore, projection: Projection, is_new: bool) -> None:
    """Vectors for the regions that have none in this projection, if the warehouse has regions of its encoder.

    A region of which nothing is left after the mean is taken away gets none: its image is found by its others.
    """
    if not warehouse.exists(REGIONS):
        return
    projection_id = projection.projection_id
    regions = warehouse.read(REGIONS).where(F.col("encoder_id") == projection.encoder_id)
    there = warehouse.read_or_empty(REGION_VECTORS).where(F.col("projection_id") == projection_id)
    todo = regions if is_new else without_vector(warehouse, regions, there, ("image_id", "region"))
    rows = _projected(todo, projection).where(F.col("vector").isNotNull())
    rows = warehouse.stage(rows.withColumn("projection_id", F.lit(projection_id)), "region-vectors")
    if is_new:
        warehouse.replace(REGION_VECTORS, rows, where=f"projection_id = '{projection_id}'")
    elif not rows.isEmpty():
        warehouse.insert_new(REGION_VECTORS, rows)


def _projected(regions: DataFrame, projection: Projection) -> DataFrame:
    shared = regions.sparkSession.sparkContext.broadcast(projection)
    rows = regions.select(*KEYS, "embedding")
    return rows.mapInArrow(project_batches(shared, projection.storage), PROJECTED)
