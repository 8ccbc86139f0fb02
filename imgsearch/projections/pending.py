"""Embeddings that have no vector yet."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.store import TableStore


def without_vector(
    warehouse: TableStore, embeddings: DataFrame, vectors: DataFrame, on: Sequence[str] = ("image_id",)
) -> DataFrame:
    """The rows of ``embeddings`` whose ``on`` are not in ``vectors``, at the cost of the rows that come back.

    Ids are compared first. Then only embeddings are read that are no older than the oldest of the new ones: Delta knows
    the least and greatest ``embedded_at`` of each file and skips the others.
    """
    keys = list(on)
    new = embeddings.select(*keys, "embedded_at").join(vectors.select(*keys), on=keys, how="left_anti")
    new = warehouse.stage(new, "new-ids")  # its size is then known: a few ids go to the rows, and the rows stay
    micros = F.unix_micros("embedded_at")
    oldest, n_undated = new.agg(F.min(micros), F.count_if(micros.isNull())).collect()[0]  # one row
    if oldest is not None and not n_undated:
        embeddings = embeddings.where(F.col("embedded_at") >= F.timestamp_micros(F.lit(oldest)))
    return embeddings.join(new.select(*keys), on=keys, how="left_semi")
