"""Images that come before the cosine's own order: their scores, and the order of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.keys import KEY_DIGITS
from imgsearch.lake.batches import Batches
from imgsearch.lake.shared import Shared, share
from imgsearch.retrieval.join import keys_of
from imgsearch.topk.score import paired_scores
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Ids, Matrix, unit_rows

PLACED_SCHEMA = "query_row int, image_key bigint, score float, place int"


class Places(NamedTuple):
    """What is broadcast: (n_queries, dim) ``queries``, and pairs in order of key: (p,) int64 ``keys`` of images, the
    ``rows`` of the queries that they come first for, and their ``places`` there, from 0."""

    queries: Matrix
    keys: Ids
    rows: Ids
    places: Ids

    @classmethod
    def of(cls, queries: Matrix, ahead: Ids) -> Places:
        """``ahead``: (n_queries, c) int64 keys in their order, ``NOBODY`` for none."""
        rows, places = np.nonzero(ahead != NOBODY)
        keys = ahead[rows, places]
        order = np.argsort(keys, kind="stable")
        return cls(queries, keys[order], rows[order], places[order])


def put_ahead(
    matches: DataFrame, ahead: Ids, queries: Matrix, gallery: DataFrame, top_k: int, min_score: float
) -> DataFrame:
    """``join.search``'s ``matches`` of ``queries`` (n, dim), after the images of ``ahead`` (n, c) in their order.

    Each image has its cosine as score and comes once; ``top_k`` stay, none below ``min_score``, and none that
    ``gallery`` (``image_id``, ``vector``) does not hold. Returns the columns of ``matches``.
    """
    places = Places.of(queries, ahead)
    shared = share(gallery.sparkSession, places)
    some = with_key(gallery.select("image_id", "vector"), np.unique(places.keys))
    first = some.mapInArrow(score_placed(shared), PLACED_SCHEMA)
    columns = ("query_row", "image_key", "score")
    rest = matches.select(*columns, F.lit(None).cast("int").alias("place"))
    both = first.where(F.col("score") >= F.lit(min_score).cast("float")).unionByName(rest)
    once = both.groupBy("query_row", "image_key").agg(F.max("score").alias("score"), F.min("place").alias("place"))
    order = Window.partitionBy("query_row").orderBy(F.asc_nulls_last("place"), F.desc("score"), "image_key")
    ranked = once.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= top_k)
    return ranked.select("query_row", "rank", "image_key", "score")


def with_key(gallery: DataFrame, keys: Ids) -> DataFrame:
    """The rows of ``gallery`` (``image_id`` in hex) with one of ``keys``, found by the first digits, before any Python.

    A key has all but the last bit of its digits, so it stands for two of them.
    """
    frame = gallery.sparkSession.createDataFrame(pa.table({"_key": pa.array(keys, pa.int64())}))
    even = F.shiftleft("_key", 1)
    numbers = frame.select(F.explode(F.array(even, even.bitwiseOR(F.lit(1)))).alias("_number"))
    digits = numbers.select(F.lower(F.lpad(F.hex("_number"), KEY_DIGITS, "0")).alias("_digits"))
    own = F.substring("image_id", 1, KEY_DIGITS)
    return gallery.join(F.broadcast(digits), on=own == F.col("_digits"), how="left_semi")


def score_placed(shared: Shared[Places]) -> Callable[[Batches], Batches]:
    """(image_id, vector) batches → ``PLACED_SCHEMA``: a row for each query that an image comes first for."""

    def score(batches: Batches) -> Batches:
        queries, keys, rows, places = shared.value
        for batch in batches:
            own = keys_of(batch.column(0))
            starts, stops = np.searchsorted(keys, own), np.searchsorted(keys, own, side="right")
            hits = np.flatnonzero(stops > starts)
            if not len(hits):
                continue
            counts = (stops - starts)[hits]
            at = np.repeat(hits, counts)
            pairs = np.repeat(starts[hits] - np.cumsum(counts) + counts, counts) + np.arange(len(at))
            vectors = unit_rows(batch.column(1).take(pa.array(at)), queries.shape[1])
            columns = [
                pa.array(rows[pairs], pa.int32()), pa.array(own[at]),
                pa.array(paired_scores(queries[rows[pairs]], vectors)), pa.array(places[pairs], pa.int32()),
            ]  # fmt: skip
            yield pa.RecordBatch.from_arrays(columns, names=["query_row", "image_key", "score", "place"])

    return score
