"""Embeddings → vectors as frames; ``compress``, ``search`` and ``dedup`` use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.batches import Batches
from imgsearch.lake.shared import Shared
from imgsearch.projections.projection import Projection
from imgsearch.projections.storage import Precision, stored
from imgsearch.vectors import unit_rows, unpack

VECTOR = "image_id string, vector binary"


def compress(embeddings: DataFrame, projection: Projection, storage: Precision = "float32") -> DataFrame:
    """``image_id`` and ``embedding`` → ``image_id`` and ``vector``; null where an embedding has no direction left."""
    shared = embeddings.sparkSession.sparkContext.broadcast(projection)
    return embeddings.select("image_id", "embedding").mapInArrow(project_batches(shared, storage), VECTOR)


def project_batches(projection: Broadcast[Projection], storage: Precision) -> Callable[[Batches], Batches]:
    """(…, embedding) batches → (…, vector) batches."""

    def project(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            *others, embeddings = batch.columns
            vectors = projection.value.apply(unpack(embeddings, projection.value.dim))
            names = [*batch.schema.names[:-1], "vector"]
            yield pa.RecordBatch.from_arrays([*others, stored(vectors, storage)], names=names)

    return project


def project_udf(projection: Shared[Projection]) -> Callable[..., Column]:
    """An Arrow UDF: a vector column (packed, or lists of numbers) → packed float32 vectors of unit length.

    Null where the input is null and where nothing of it is left after the mean is taken away.
    """

    def project(column: pa.Array) -> pa.Array:
        valid_rows = np.flatnonzero(np.asarray(column.is_valid()))
        vectors = np.zeros((len(column), projection.value.n_components), np.float32)
        vectors[valid_rows] = projection.value.apply(unit_rows(column.take(pa.array(valid_rows)), projection.value.dim))
        return stored(vectors, "float32")

    return F.arrow_udf(project, returnType="binary")  # type: ignore[call-overload]
