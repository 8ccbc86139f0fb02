"""Pairs that may be copies of one picture: each image asks as it is and in its views, by the exact join of ``search``.

The driver holds one block of views at a time, as ``neighbours`` does of vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.duplicates.near import Stage
from imgsearch.encoders.view_rows import LAYOUT, NETWORK
from imgsearch.keys import order_keys
from imgsearch.lake.batches import Batches
from imgsearch.lake.shared import Shared, share
from imgsearch.retrieval.hash_ranges import hash_parts
from imgsearch.retrieval.join import queries_per_pass, search
from imgsearch.vectors import Ids, unpack

#: The view of an image that is its own vector.
AS_IT_IS = "as it is"
CANDIDATE_SCHEMA = "left_key bigint, right_key bigint, score float, view string"
#: Candidates of each view in each space, and the cosine that one has to reach.
NEAREST, LOWEST = {NETWORK: 4, LAYOUT: 3}, {NETWORK: 0.4, LAYOUT: 0.7}
#: Views that the driver holds at once: 50 MB at 256-d.
BLOCK = 50_000


def candidates(views: DataFrame, vectors: DataFrame, stage: Stage) -> DataFrame:
    """``left_key``, ``right_key``, ``view``: each pair once, with the view in which the two are most alike.

    ``views``: ``VIEW_SCHEMA``; ``vectors``: ``image_id``, ``vector``, the gallery as it is.
    """
    as_it_is = views.where((F.col("space") == LAYOUT) & (F.col("view") == AS_IT_IS))
    network = views.where(F.col("space") == NETWORK).drop("space")
    network = network.unionByName(vectors.withColumn("view", F.lit(AS_IT_IS)))
    parts = _met(network, vectors, NETWORK, stage)
    parts += _met(views.where(F.col("space") == LAYOUT), as_it_is, LAYOUT, stage)
    every = reduce(DataFrame.unionByName, parts)
    best = F.max_by("view", F.struct("score", "view")).alias("view")
    return every.groupBy("left_key", "right_key").agg(best)


def _met(asking: DataFrame, gallery: DataFrame, space: str, stage: Stage) -> list[DataFrame]:
    """``CANDIDATE_SCHEMA`` in parts: what each block of ``asking`` finds in ``gallery``."""
    first = asking.first()
    if first is None:
        return [stage(asking.sparkSession.createDataFrame([], CANDIDATE_SCHEMA), "asked")]
    dim = len(first["vector"]) // 4
    n_blocks = max(1, -(-asking.count() // min(BLOCK, queries_per_pass(asking.sparkSession, NEAREST[space], dim))))
    rows = gallery.select("image_id", "vector")
    return [stage(_asked(asking.where(part), rows, dim, space), "asked") for part in hash_parts(n_blocks)]


def _asked(block: DataFrame, gallery: DataFrame, dim: int, space: str) -> DataFrame:
    table = block.select("image_id", "view", "vector").orderBy("image_id", "view").toArrow().combine_chunks()
    keys = order_keys(table.column("image_id"))
    ranked = search(unpack(table.column("vector"), dim), gallery, NEAREST[space], own=keys, min_score=LOWEST[space])
    views = table.column("view").combine_chunks() if table.num_rows else pa.array([], pa.string())
    shared = share(gallery.sparkSession, (keys, views))
    return ranked.select("query_row", "image_key", "score").mapInArrow(pair_up(shared), CANDIDATE_SCHEMA)


def pair_up(asking: Shared[tuple[Ids, pa.Array]]) -> Callable[[Batches], Batches]:
    """(query_row, image_key, score) batches → ``CANDIDATE_SCHEMA``; the lower key is the left one."""

    def pair(batches: Batches) -> Batches:
        keys, views = asking.value
        for batch in batches:
            if len(batch):
                rows, others = batch.column(0).to_numpy(), batch.column(1).to_numpy()
                low, high = np.minimum(keys[rows], others), np.maximum(keys[rows], others)
                columns = [pa.array(low), pa.array(high), batch.column(2), views.take(pa.array(rows))]
                yield pa.RecordBatch.from_arrays(columns, names=["left_key", "right_key", "score", "view"])

    return pair
