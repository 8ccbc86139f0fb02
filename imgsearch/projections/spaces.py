"""Which encoder and which projection a warehouse's vectors belong to: the space in which things may be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.batches import Batches
from imgsearch.lake.rows import frame_of
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import LEARNED, Projection, projection_of
from imgsearch.projections.storage import Precision, expand
from imgsearch.tables import ENCODERS, PROJECTIONS, VECTORS
from imgsearch.vectors import Matrix, pack, unpack_bytes


class EncoderRecord(NamedTuple):
    """An encoder as the warehouse knows it."""

    encoder_id: str
    name: str
    dim: int
    settings: str


def encoder_record(warehouse: TableStore, name: str | None) -> EncoderRecord:
    """The encoder that ``name`` names by id or name; the latest for ``None``. Raises ``UserError``."""
    rows = warehouse.read(ENCODERS).orderBy(F.col("created_at").desc(), "encoder_id").collect()
    encoders = [EncoderRecord(r["encoder_id"], r["name"], r["dim"], r["settings"]) for r in rows]
    if not encoders:
        raise UserError(
            f"no image in {warehouse.location} was embedded; "
            f"run `{LAUNCHER} embed --warehouse {warehouse.location}` first"
        )
    if name is None:
        return encoders[0]
    for encoder in encoders:
        if name in (encoder.encoder_id, encoder.name):
            return encoder
    made = ", ".join(f"{e.name} ({e.encoder_id})" for e in encoders)
    raise UserError(
        f"--encoder {name}: the embeddings in {warehouse.location} were made by {made}; "
        f"run `{LAUNCHER} embed --warehouse {warehouse.location} --encoder {name}` first"
    )


def find_projection(warehouse: TableStore, encoder_id: str, *, plain: bool = False) -> Projection | None:
    """The latest projection fitted on this encoder's embeddings; ``plain``: the latest that no names are part of."""
    frame = warehouse.read_or_empty(PROJECTIONS).where(F.col("encoder_id") == encoder_id)
    return _latest(frame.where(~F.endswith("engine", F.lit(LEARNED))) if plain else frame)


def _latest(projections: DataFrame) -> Projection | None:
    row = projections.orderBy(F.col("created_at").desc()).first()
    return None if row is None else projection_of(row.asDict())


def projections_of(warehouse: TableStore, encoder_id: str) -> list[str]:
    """The projections that were ever fitted on this encoder's embeddings, in order of id; a few."""
    rows = warehouse.read_or_empty(PROJECTIONS).where(F.col("encoder_id") == encoder_id).select("projection_id")
    return sorted(row["projection_id"] for row in rows.distinct().collect())


def current_projection(warehouse: TableStore, name: str | None) -> tuple[EncoderRecord, Projection]:
    """The encoder and the projection to compare in: the latest one of an encoder (id or name), or by its own id.

    Raises ``UserError`` where ``compress`` has not run for it, or has removed the vectors of that projection.
    """
    own = _projection_by_id(warehouse, name)
    if own is not None:
        return encoder_record(warehouse, own.encoder_id), own
    encoder = encoder_record(warehouse, name)
    projection = find_projection(warehouse, encoder.encoder_id)
    if projection is None:
        raise UserError(
            f"there is no projection for the encoder {encoder.name} ({encoder.encoder_id}) in {warehouse.location}; "
            f"run `{LAUNCHER} compress --warehouse {warehouse.location}` first"
        )
    return encoder, projection


def _projection_by_id(warehouse: TableStore, name: str | None) -> Projection | None:
    if name is None:
        return None
    projection = _latest(warehouse.read_or_empty(PROJECTIONS).where(F.col("projection_id") == name))
    if projection is not None and warehouse.read(VECTORS).where(F.col("projection_id") == name).isEmpty():
        raise UserError(f"--encoder {name}: a later projection took its place; leave --encoder out to use the latest")
    return projection


def vectors_of(warehouse: TableStore, projection_id: str) -> DataFrame:
    """``image_id``, ``projection_id`` and ``vector`` of one projection: float32 rows of unit length, however stored.

    Whoever reads ``vectors`` comes through here: the table may hold ``float16`` or ``int8``, widened on the way.
    """
    frame = warehouse.read(VECTORS).where(F.col("projection_id") == projection_id)
    return widened(frame.select("image_id", "projection_id", "vector"), storage_of(warehouse, projection_id))


def gallery_of(
    warehouse: TableStore, projection_id: str, keep: Callable[[DataFrame], DataFrame] | None = None
) -> DataFrame:
    """``image_id``, ``cluster_id`` (or null) and ``vector``, as ``vectors_of``.

    ``keep`` narrows the table's rows before their vectors are read (a join with wanted ids, a filter on clusters).
    """
    frame = warehouse.read(VECTORS).where(F.col("projection_id") == projection_id)
    frame = frame.select("image_id", "cluster_id", "vector")
    return widened(keep(frame) if keep is not None else frame, storage_of(warehouse, projection_id))


def storage_of(warehouse: TableStore, projection_id: str) -> Precision:
    """How this projection's vectors are packed."""
    row = warehouse.read(PROJECTIONS).where(F.col("projection_id") == projection_id).select("storage").first()
    return "float32" if row is None else row["storage"]


def widened(frame: DataFrame, storage: Precision) -> DataFrame:
    """``frame``, whose last column is a stored vector, with float32 vectors."""
    return frame if storage == "float32" else frame.mapInArrow(widen_batches(storage), frame.schema)


def widen_batches(storage: Precision) -> Callable[[Batches], Batches]:
    """(…, stored vector) batches → the same with float32 vectors."""

    def widen(batches: Batches) -> Batches:
        for batch in batches:
            *others, vectors = batch.columns
            wide = pack(expand(unpack_bytes(vectors), storage)) if len(batch) else vectors
            yield pa.RecordBatch.from_arrays([*others, wide], names=batch.schema.names)

    return widen


def keep_projection(warehouse: TableStore, projection: Projection, path: str) -> None:
    """Add the projection to ``projections``; one that is there already becomes the latest."""
    frame = projection_frame(warehouse.spark, projection).withColumn("path", F.lit(path))
    frame = frame.withColumn("created_at", F.current_timestamp())
    warehouse.replace(PROJECTIONS, frame, where=f"projection_id = '{projection.projection_id}'")


def projection_frame(spark: SparkSession, projection: Projection) -> DataFrame:
    """A projection as one row, its arrays packed; ``projection_of`` reads it."""

    def packed(values: Matrix) -> bytearray:
        return bytearray(pack(np.atleast_2d(values))[0].as_py())

    row = (
        projection.projection_id, projection.encoder_id, projection.dim, projection.n_components,
        float(projection.whitening), packed(projection.mean), packed(projection.components.reshape(-1)),
        packed(projection.scale), packed(projection.explained_variance_ratio), projection.n_fitted,
        projection.engine, projection.storage,
    )  # fmt: skip
    return frame_of(spark, PROJECTIONS, [row])
