"""Neighbours: ``vectors`` → ``neighbours``, the 20 nearest others of each image, exactly.

New images ask all others. Images that have a list are offered the new ones, where their vectors lie, and get their
rows in one commit before the first new list is written: a run that was stopped does the rest when it is run again.
An image that lost a neighbour (``ingest --prune``) asks again. The driver holds one block of new images at a time.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import NeighboursConfig
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.runs import RunSummary, Stopwatch, exclusive, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.retrieval.hash_ranges import hash_parts
from imgsearch.retrieval.join import image_key, queries_per_pass
from imgsearch.retrieval.neighbour_lists import (
    LISTED,
    PAIR_SCHEMA,
    Block,
    asked,
    offered,
    pair_batches,
    with_candidates,
)
from imgsearch.tables import NEIGHBOURS, VECTORS

#: Images of a block, at most: 50 MB at 256-d.
BLOCK = 50_000


@exclusive("vectors")
def run(spark: SparkSession, config: NeighboursConfig) -> RunSummary:
    """Bring ``neighbours`` up to date with the vectors of the current projection."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    _, projection = current_projection(warehouse, config.encoder)
    projection_id, dim = projection.projection_id, projection.n_components
    vectors = vectors_of(warehouse, projection_id).select("image_id", "vector")
    size = vectors.count()
    if size < 2:
        raise UserError(
            f"{warehouse.location} has {size} images with a vector, and a neighbour takes two; "
            f"run `{LAUNCHER} compress --warehouse {warehouse.location}` after embedding more"
        )
    n_removed = _remove_outdated(warehouse, projection_id, vectors)
    old = warehouse.stage(lists_of_projection(warehouse, projection_id).select("image_id"), "old")
    new = warehouse.stage(vectors.select("image_id").join(old, on="image_id", how="left_anti"), "new")
    n_new = new.count()
    n_blocks = -(-n_new // min(BLOCK, queries_per_pass(spark, LISTED, dim)))
    new_vectors = vectors.join(new, on="image_id", how="left_semi")
    if n_new < size:
        _offer(warehouse, projection_id, vectors.join(old, on="image_id", how="left_semi"), new_vectors, n_blocks, dim)
    for part in hash_parts(n_blocks):
        lists = asked(Block.of(new_vectors.where(part), dim), vectors)
        lists = warehouse.stage(lists, "asked")
        warehouse.insert_new(NEIGHBOURS, lists.withColumn("projection_id", F.lit(projection_id)))
    details = {"projection_id": projection_id, "neighbours": min(LISTED, size - 1), "new": n_new, "again": n_removed}
    return finish(warehouse, "neighbours", watch, rows_in=size, rows_out=size, details=details)


def lists_of_projection(warehouse: TableStore, projection_id: str) -> DataFrame:
    """The rows of ``neighbours`` of one projection."""
    return warehouse.read_or_empty(NEIGHBOURS).where(F.col("projection_id") == projection_id)


def _offer(
    warehouse: TableStore, projection_id: str, vectors: DataFrame, new_vectors: DataFrame, n_blocks: int, dim: int
) -> None:
    """Let the images of ``vectors``, which have lists, look at the new ones: one commit of the lists that change."""
    lists = lists_of_projection(warehouse, projection_id)
    for part in hash_parts(n_blocks):
        candidates = offered(Block.of(new_vectors.where(part), dim), vectors)
        lists = warehouse.stage(with_candidates(lists, candidates), "offered")
    if n_blocks:
        warehouse.merge(NEIGHBOURS, lists.withColumn("projection_id", F.lit(projection_id)))


def _remove_outdated(warehouse: TableStore, projection_id: str, vectors: DataFrame) -> int:
    """Remove lists of projections that have no vectors, of images that are gone, and those that name one.

    Returns how many of the last two there were in this projection: those of images that are there ask again.
    """
    if not warehouse.exists(NEIGHBOURS):
        return 0
    projections = warehouse.read(VECTORS).select("projection_id").distinct()
    others = warehouse.read(NEIGHBOURS).select("projection_id").distinct()
    for row in others.join(projections, on="projection_id", how="left_anti").collect():
        warehouse.delete(NEIGHBOURS, F.col("projection_id") == row["projection_id"])
    lists = lists_of_projection(warehouse, projection_id)
    pairs = lists.select("image_id", "neighbours").mapInArrow(pair_batches, PAIR_SCHEMA)
    there = vectors.select(image_key("image_id").alias("neighbour"))
    broken = pairs.join(there, on="neighbour", how="left_anti").select("image_id")
    gone = lists.select("image_id").join(vectors.select("image_id"), on="image_id", how="left_anti")
    outdated = warehouse.stage(broken.unionByName(gone).distinct(), "outdated")
    n = outdated.count()
    rows = outdated.withColumn("projection_id", F.lit(projection_id))
    warehouse.delete_matching(NEIGHBOURS, rows, "t.image_id = s.image_id AND t.projection_id = s.projection_id")
    return n
