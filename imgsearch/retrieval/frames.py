"""The join for frames of one's own: any id, any vector column; mistakes in one line before the join starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake.batches import Batches
from imgsearch.lake.identifiers import quoted_part
from imgsearch.retrieval.columns import (
    Columns,
    Fault,
    Names,
    columns_of,
    dim_of,
    faults_in,
    merged,
    refuse_bounds,
    refuse_duplicates,
    refuse_faults,
    refuse_repeated,
)
from imgsearch.retrieval.id_keys import SHA256, IdKeys, IdRange
from imgsearch.retrieval.join import NO_SCORE, search, sole_id
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Ids, unit_rows

FAULT_SCHEMA = "problem string, n bigint, example string"


class Gallery(NamedTuple):
    """What is searched, after its check. ``rows``: ``image_id`` in its own type, ``vector``, and the ``image_key``."""

    rows: DataFrame
    columns: Columns
    keys: IdKeys
    dim: int


class QueryRows(NamedTuple):
    """The queries on the driver. ``ids``: in their own type; ``vectors``: (n, dim) float32 unit rows; ``own``: (n,)
    int64, the key of the gallery row with the query's id, ``NOBODY`` where there is none."""

    ids: pa.Array
    vectors: np.ndarray
    own: Ids


def search_frames(
    queries: DataFrame,
    gallery: DataFrame,
    top_k: int,
    names: Names,
    query_names: Names,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
) -> DataFrame:
    """See ``imgsearch.search``. ``names`` are of the gallery's columns."""
    refuse_bounds("search", top_k, min_score)
    columns_of(queries.dtypes, "search: the queries", query_names)
    checked = open_gallery(gallery, names)
    return search_gallery(checked, queries, top_k, query_names, min_score=min_score, exclude_self=exclude_self)


def open_gallery(frame: DataFrame, names: Names, what: str = "search: the gallery") -> Gallery:
    """Check a frame: its schema, then in two Spark jobs its ids and its vectors. Raises ``UserError``.

    ``what``: how messages begin.
    """
    columns = columns_of(frame.dtypes, what, names)
    rows = frame.select(
        F.col(quoted_part(columns.id)).alias("image_id"),
        vector_expression(columns.vector, columns.vector_type).alias("vector"),
    )
    dim = vector_faults(rows, what)
    keys = IdKeys.of(_id_range(rows, what, columns.has_integer_ids))
    return Gallery(rows.withColumn("image_key", keys.column("image_id")), columns, keys, dim)


def vector_faults(rows: DataFrame, what: str) -> int:
    """Check ``vector`` (and ``image_id``, where there is one) of every row; the vectors' dimension.

    Raises ``UserError`` for the first fault, and where no row has a vector.
    """
    first = rows.where(F.col("vector").isNotNull()).select("vector").first()
    if first is None:
        raise UserError(f"{what}: has no row with a vector; give at least one")
    dim = dim_of(first["vector"], what)
    faults = rows.mapInArrow(fault_batches(dim), FAULT_SCHEMA).collect()
    refuse_faults(what, [Fault(*row) for row in faults])
    return dim


def search_gallery(
    gallery: Gallery,
    queries: DataFrame,
    top_k: int,
    names: Names,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
    what: str = "search",
) -> DataFrame:
    """``query_id``, ``rank`` (from 1), ``image_id``, ``score``; ids in their own types. Raises ``UserError``.

    ``names`` are of the columns of ``queries``.
    """
    queries_read = read_query_rows(queries, gallery, names, exclude_self, f"{what}: the queries")
    ranked = search(
        queries_read.vectors, gallery.rows.select(F.col("image_key").alias("image_id"), "vector"), top_k,
        own=queries_read.own if exclude_self else None, min_score=NO_SCORE if min_score is None else min_score,
    )  # fmt: skip
    some = gallery.rows.select("image_id", "image_key").join(
        ranked.select("image_key").distinct(), on="image_key", how="left_semi"
    )
    named = some.groupBy("image_key").agg(sole_id().alias("image_id"))
    numbers = pa.array(np.arange(len(queries_read.ids), dtype=np.int32))
    numbered = queries.sparkSession.createDataFrame(pa.table({"query_row": numbers, "query_id": queries_read.ids}))
    return (
        ranked.join(F.broadcast(numbered), on="query_row", how="inner")
        .join(named, on="image_key", how="inner")
        .select("query_id", "rank", "image_id", "score")
    )


def read_query_rows(frame: DataFrame, gallery: Gallery, names: Names, exclude_self: bool, what: str) -> QueryRows:
    """The queries, checked, in order of id. The driver holds them all, as the join's broadcast does."""
    columns = columns_of(frame.dtypes, what, names)
    if exclude_self and columns.has_integer_ids != gallery.columns.has_integer_ids:
        raise UserError(
            f"{what}: ids are {columns.id_type}, those of the gallery {gallery.columns.id_type}, "
            "so exclude_self has nothing to compare; cast one of them"
        )
    rows = frame.select(
        F.col(quoted_part(columns.id)).alias("id"),
        vector_expression(columns.vector, columns.vector_type).alias("vector"),
    )
    key = gallery.keys.column("id") if exclude_self else F.lit(None).cast("bigint")
    table = rows.withColumn("own", key).orderBy("id").toArrow().combine_chunks()
    ids, vectors, own = (_whole(table.column(name)) for name in ("id", "vector", "own"))
    valid = vectors.drop_null()
    dim = dim_of(valid[0].as_py(), what) if len(valid) else gallery.dim
    refuse_faults(what, faults_in(ids, vectors, dim))
    refuse_repeated(what, ids)
    if dim != gallery.dim:
        raise UserError(
            f"{what}: vectors have {dim:,} numbers, those of the gallery {gallery.dim:,}; "
            "give both from one encoder and projection"
        )
    return QueryRows(ids, unit_rows(vectors, gallery.dim), own.fill_null(NOBODY).to_numpy())


def vector_expression(name: str, vector_type: str) -> Column:
    """A vector column as packed values or lists. MLlib's function refuses nulls, so they are left out of its way."""
    vector = F.col(quoted_part(name))
    return F.when(vector.isNotNull(), vector_to_array(vector)) if vector_type == "vector" else vector


def fault_batches(dim: int) -> Callable[[Batches], Batches]:
    """([image_id,] vector) batches of a task → rows of ``FAULT_SCHEMA``, one a problem; none where nothing is wrong."""

    def check(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        faults: list[Fault] = []
        for batch in batches:
            *ids, vectors = batch.columns
            faults = merged([*faults, *faults_in(ids[0] if ids else None, vectors, dim)])
        if faults:
            columns = zip(*faults, strict=True)
            types = (pa.string(), pa.int64(), pa.string())
            arrays = [pa.array(list(column), kind) for column, kind in zip(columns, types, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names=list(Fault._fields))

    return check


def _id_range(rows: DataFrame, what: str, are_integers: bool) -> IdRange:
    ids = rows.groupBy("image_id").agg(F.count("*").alias("n"))
    value = F.col("image_id")
    n_bytes, sha = F.octet_length(value), value.rlike(SHA256)
    facts = ids.agg(
        F.min(value).alias("lowest"),
        F.max(value).alias("highest"),
        (F.lit(0) if are_integers else F.max(n_bytes)).alias("n_bytes"),
        (F.lit(False) if are_integers else F.bool_and(sha)).alias("all_sha256"),
        F.count_if(F.col("n") > 1).alias("n_repeated"),
        F.min(F.when(F.col("n") > 1, value)).alias("repeated"),
    ).collect()[0]
    refuse_duplicates(what, facts["n_repeated"], facts["repeated"])
    return IdRange(facts["lowest"], facts["highest"], facts["n_bytes"], facts["all_sha256"])


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
