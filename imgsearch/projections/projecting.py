"""Embeddings → vectors as frames; ``compress``, ``search`` and ``dedup`` use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from imgsearch.lake.batches import Batches
from imgsearch.projections.projection import Projection
from imgsearch.projections.storage import Precision, stored
from imgsearch.vectors import unpack

VECTOR = "image_id string, vector binary"


def compress(embeddings: DataFrame, projection: Projection, storage: Precision = "float32") -> DataFrame:
    """``image_id`` and ``embedding`` → ``image_id`` and ``vector``; null where an embedding has no direction left."""
    shared = embeddings.sparkSession.sparkContext.broadcast(projection)
    return embeddings.select("image_id", "embedding").mapInArrow(project_batches(shared, storage), VECTOR)


def project_batches(projection: Broadcast[Projection], storage: Precision) -> Callable[[Batches], Batches]:
    """(image_id, embedding) batches → (image_id, vector) batches."""

    def project(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = projection.value.apply(unpack(batch.column(1), projection.value.dim))
            yield pa.RecordBatch.from_arrays([batch.column(0), stored(vectors, storage)], names=["image_id", "vector"])

    return project
