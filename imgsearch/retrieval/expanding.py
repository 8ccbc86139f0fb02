"""Query expansion over frames: what the queries find is added up where the gallery is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.batches import Batches
from imgsearch.retrieval.expansion import ALPHA
from imgsearch.retrieval.join import image_key
from imgsearch.vectors import Matrix, pack, unit, unpack

SUM_SCHEMA = "query_row int, vector binary"


def expanded(queries: Matrix, matches: DataFrame, gallery: DataFrame, m: int) -> Matrix:
    """(n, dim) ``queries``, each moved towards its ``m`` best of ``matches`` (``retrieval.expansion.expand``).

    ``matches``: what ``join.search`` found for them; ``gallery``: ``image_id`` and ``vector``. One vector a query comes
    back from the executors.
    """
    best = matches.where(F.col("rank") <= m).select("query_row", "image_key", "score")
    rows = gallery.select(image_key("image_id").alias("image_key"), "vector").dropDuplicates(["image_key"])
    voters = rows.join(F.broadcast(best), on="image_key", how="inner").select("query_row", "score", "vector")
    dim = queries.shape[1]
    sums = (
        voters.repartition("query_row")
        .sortWithinPartitions("query_row", "score")
        .mapInArrow(add_batches(dim), SUM_SCHEMA)
    )
    table = sums.toArrow()
    total = queries.astype(np.float64)
    total[table.column("query_row").to_numpy()] += unpack(table.column("vector"), dim)
    return unit(total.astype(np.float32))


def add_batches(dim: int) -> Callable[[Batches], Batches]:
    """(query_row, score, vector) batches in order of query → one row a query: Σ score ** ALPHA · vector, float32."""

    def add(batches: Batches) -> Batches:
        current, total = -1, np.zeros(dim)
        for batch in batches:
            rows, scores = batch.column(0).to_numpy(), np.clip(batch.column(1).to_numpy(), 0, None) ** ALPHA
            vectors = unpack(batch.column(2), dim)
            starts = np.flatnonzero(np.append(True, np.diff(rows) != 0)[: len(rows)])
            for start, stop in zip(starts, np.append(starts[1:], len(rows)), strict=True):
                if rows[start] != current:
                    if current >= 0:
                        yield _row(current, total)
                    current, total = int(rows[start]), np.zeros(dim)
                total = total + scores[start:stop] @ vectors[start:stop].astype(np.float64)
        if current >= 0:
            yield _row(current, total)

    return add


def _row(query: int, total: NDArray[np.float64]) -> pa.RecordBatch:
    columns = [pa.array([query], pa.int32()), pack(total.astype(np.float32)[None])]
    return pa.RecordBatch.from_arrays(columns, names=["query_row", "vector"])
