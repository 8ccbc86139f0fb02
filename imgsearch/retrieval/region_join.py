"""The join of ``join`` where an image has several vectors: each query's best images, each by its best region.

Level one keeps the best of each region number in a task, level two merges them; both are exact (``best_regions``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.batches import Batches
from imgsearch.lake.session import n_slots
from imgsearch.lake.shared import Shared, share
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import storage_of, widened
from imgsearch.retrieval.best_regions import WHOLE, RunningRegions, merge_regions
from imgsearch.retrieval.join import (
    NO_SCORE,
    PARTIAL_SCHEMA,
    RANKED_SCHEMA,
    Queries,
    by_blocks,
    image_key,
    in_passes,
    keys_of,
    packed_blocks,
    queries_per_pass,
    ranked_rows,
    request_of,
    unpacked_block,
)
from imgsearch.tables import BOX, REGION_VECTORS
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Ids, Matrix, unit_rows

PARTIAL_REGIONS = f"{PARTIAL_SCHEMA}, region int"
RANKED_REGIONS = f"{RANKED_SCHEMA}, region int"


def region_gallery(
    warehouse: TableStore, projection_id: str, keep: Callable[[DataFrame], DataFrame] | None = None
) -> DataFrame:
    """``image_id``, ``region`` (from 1) and ``vector`` of the parts of images, as ``spaces.gallery_of``."""
    frame = warehouse.read_or_empty(REGION_VECTORS).where(F.col("projection_id") == projection_id)
    frame = frame.select("image_id", "region", "vector")
    return widened(keep(frame) if keep is not None else frame, storage_of(warehouse, projection_id))


def regions_for_search(
    warehouse: TableStore, projection_id: str, keep: Callable[[DataFrame], DataFrame] | None
) -> DataFrame:
    """``region_gallery``. Raises ``UserError`` where the warehouse has no region in this projection."""
    if region_gallery(warehouse, projection_id).isEmpty():
        raise UserError(
            f"--regions: {warehouse.location} has no parts of images for this projection; run `{LAUNCHER} embed "
            f"--warehouse {warehouse.location} --regions` and then `compress`"
        )
    return region_gallery(warehouse, projection_id, keep)


def without_regions(warehouse: TableStore, projection_id: str, n_images: int) -> list[str]:
    """What to say where some of the ``n_images`` have no regions; nothing else."""
    parts = warehouse.read(REGION_VECTORS).where(F.col("projection_id") == projection_id)
    n_without = n_images - parts.where("region = 1").count()
    note = f"{n_without:,} images have no parts yet and are found as a whole only; run `{LAUNCHER} embed --regions`"
    return [note] if n_without > 0 else []


def search_regions(
    queries: Matrix,
    gallery: DataFrame,
    regions: DataFrame,
    top_k: int,
    *,
    own: Ids | None = None,
    min_score: float = NO_SCORE,
) -> DataFrame:
    """The ``top_k`` images with the most similar vector, by cosine: that of the whole or of one of its parts.

    As ``join.search``, with ``regions``: ``image_id``, ``region`` from 1 and ``vector``; a pair of image and region
    comes once. Returns its columns and ``region``, the one that has the score: 0 is the whole image.
    """
    whole = gallery.select("image_id", F.lit(WHOLE).alias("region"), "vector")
    rows = whole.unionByName(regions.select("image_id", "region", "vector"))
    n_numbers = 1 + (regions.agg(F.max("region")).collect()[0][0] or 0)
    per_pass = max(1, queries_per_pass(gallery.sparkSession, top_k, queries.shape[1]) // n_numbers)
    request = request_of(queries, own, top_k, min_score)
    return in_passes(request, per_pass, lambda _, batch: _one_pass(batch, rows))


def _one_pass(batch: Queries, rows: DataFrame) -> DataFrame:
    shared = share(rows.sparkSession, batch)
    rows = rows.coalesce(n_slots(rows.sparkSession) * 2)
    partial = rows.mapInArrow(partial_regions(shared), PARTIAL_REGIONS)
    return by_blocks(partial, batch).applyInArrow(merge_region_blocks(batch.block), RANKED_REGIONS)


def partial_regions(queries: Shared[Queries]) -> Callable[[Batches], Batches]:
    """Level one: all (image_id, region, vector) batches of a task → its best of each query and region number."""

    def find(batches: Batches) -> Batches:
        request = queries.value
        excluded = request.own if (request.own != NOBODY).any() else None
        running = RunningRegions(request.vectors, request.top_k)
        for batch in batches:
            if len(batch):
                vectors = unit_rows(batch.column(2), request.vectors.shape[1])
                numbers = batch.column(1).to_numpy().astype(np.int64)
                running.update(vectors, keys_of(batch.column(0)), numbers, excluded, request.min_score)
        for number, best in running.results():
            for rows in packed_blocks(best, request.block):
                yield rows.append_column("region", pa.array([number] * len(rows), pa.int32()))

    return find


def merge_region_blocks(block_size: int) -> Callable[[pa.Table], pa.Table]:
    """Level two: the rows of one block of queries, from all tasks and region numbers → its final ranks."""

    def merge_block(table: pa.Table) -> pa.Table:
        top_k, parts = unpacked_block(table)
        best = merge_regions(list(zip(table.column("region").to_pylist(), parts, strict=True)), top_k)
        first = table.column("block")[0].as_py() * block_size
        return ranked_rows(first, image_key=best.ids, score=best.scores, region=best.regions)

    return merge_block


def with_boxes(ranked: DataFrame, warehouse: TableStore, projection_id: str) -> DataFrame:
    """``search_regions``' rows with the columns ``BOX``: the part that matched; null where the whole image did."""
    pairs = ranked.where(F.col("region") != WHOLE).select("image_key", "region").distinct()
    table = warehouse.read_or_empty(REGION_VECTORS).where(F.col("projection_id") == projection_id)
    boxes = table.select(image_key("image_id").alias("image_key"), "region", *BOX)
    some = boxes.join(F.broadcast(pairs), on=["image_key", "region"], how="left_semi")
    return ranked.join(some, on=["image_key", "region"], how="left")
