"""Compress: ``embeddings`` → ``vectors``, by a PCA whose mean is folded in, unit length again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast
from pyspark.ml.feature import PCA
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import CompressConfig
from imgsearch.core.gram import Moments
from imgsearch.core.projection import DEFAULT_WHITENING, Projection, fit, from_mllib, overlap_at_k, vanished
from imgsearch.core.vectors import pack, unpack
from imgsearch.errors import UserError
from imgsearch.lake.batches import Batches, gather, sample_rows
from imgsearch.lake.mllib import pca_model
from imgsearch.lake.warehouse import Warehouse
from imgsearch.stages.space import find_projection, keep_projection, known_encoder
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import EMBEDDINGS, QUARANTINE, VECTORS

DEFAULT_COMPONENTS = 256
LOSS_SAMPLE = 2_000
VECTOR = "image_id string, vector binary"


def run(spark: SparkSession, config: CompressConfig) -> RunSummary:
    """Fit a projection if there is none that fits the request, and apply it to the embeddings that lack a vector."""
    watch = Stopwatch()
    warehouse = Warehouse.open(spark, config.warehouse)
    encoder = known_encoder(warehouse, config.encoder)
    embeddings = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == encoder.encoder_id).select("image_id", "embedding")
    total = embeddings.count()
    wanted = n_components_for(config.n_components, encoder.dim, total)
    whitening = DEFAULT_WHITENING if config.whitening is None else config.whitening
    before = find_projection(warehouse, encoder.encoder_id)
    reusable = before is not None and before.n_components == wanted and abs(before.whitening - whitening) < 1e-6
    details: dict[str, object] = {}
    notes: tuple[str, ...] = ()
    if before is not None and reusable and not config.refit:
        projection = before
        if total > 2 * before.n_fitted and before.n_fitted < config.fit_images:
            notes = (f"the projection was fitted on {before.n_fitted:,} of now {total:,} embeddings; --refit fits it anew",)
    else:
        projection = fit_projection(embeddings, total, encoder.encoder_id, wanted, whitening, config)
        path = f"{warehouse.folder()}/models/pca/{projection.projection_id}"
        explained = projection.explained_variance_ratio.astype(float).tolist()
        pca_model(spark, projection.components.astype(float).tolist(), explained).write().overwrite().save(path)
        keep_projection(warehouse, projection, path)
        details |= {"overlap_at_10": f"{_kept_neighbours(embeddings, total, projection):.4f}"}
    details |= {
        "projection_id": projection.projection_id,
        "n_components": projection.n_components,
        "explained_variance": f"{projection.explained_variance_ratio.sum():.4f}",
        "engine": projection.engine,
    }
    rows_in, bad = _write_vectors(warehouse, embeddings, projection, before)
    return finish(
        warehouse, "compress", watch, rows_in=rows_in, rows_out=rows_in - bad, quarantined=bad, details=details, notes=notes
    )


def compress(embeddings: DataFrame, projection: Projection) -> DataFrame:
    """``image_id`` and ``embedding`` → ``image_id`` and ``vector``; null where an embedding has no direction left."""
    shared = embeddings.sparkSession.sparkContext.broadcast(projection)
    return embeddings.select("image_id", "embedding").mapInArrow(project_batches(shared), VECTOR)


def project_batches(projection: Broadcast[Projection]) -> Callable[[Batches], Batches]:
    """(image_id, embedding) batches → (image_id, vector) batches."""

    def project(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = projection.value.apply(unpack(batch.column(1), projection.value.dim))
            column = pc.if_else(pa.array(~vanished(vectors)), pack(vectors), pa.scalar(None, pa.binary()))
            yield pa.RecordBatch.from_arrays([batch.column(0), column], names=["image_id", "vector"])

    return project


def n_components_for(asked: int | None, dim: int, n_images: int) -> int:
    """How many components to keep. Raises ``UserError`` for a number that cannot be had."""
    if n_images < 2:
        raise UserError(f"there are {n_images} embeddings: a projection needs at least two; ingest and embed more images")
    if asked is None:
        return min(DEFAULT_COMPONENTS, dim, n_images - 1)
    if asked > dim:
        raise UserError.option("n_components", asked, f"the encoder gives {dim} dimensions; ask for {dim} or fewer")
    if asked > n_images:
        raise UserError.option("n_components", asked, f"there are {n_images} images; ask for {n_images} or fewer")
    return asked


def fit_projection(
    embeddings: DataFrame, total: int, encoder_id: str, n_components: int, whitening: float, config: CompressConfig
) -> Projection:
    """A projection of ``embeddings`` (or of a sample of ``config.fit_images``), by either engine."""
    sample = sample_rows(embeddings, "image_id", config.fit_images, total).select("embedding")
    moments = gather(sample, moments_of_batches, merge_moments)
    if moments is None:
        raise UserError("there is no embedding to fit a projection on; run embed first")
    whole = Moments.from_bytes(moments)
    try:
        if config.engine == "gram":
            return fit(whole, n_components, encoder_id, whitening)
        floats = F.udf(lambda packed: np.frombuffer(packed, "<f4").astype(float).tolist(), "array<double>")
        frame = sample.select(array_to_vector(floats("embedding")).alias("features"))
        model = PCA(k=min(n_components, whole.n - 1), inputCol="features", outputCol="vector").fit(frame)
        explained = np.asarray(model.explainedVariance.toArray())
        spread = float(np.trace(whole.covariance()))
        return from_mllib(model.pc.toArray(), explained, whole.mean, spread, encoder_id, whole.n, whitening)
    except ValueError as e:
        raise UserError(f"compress: {e}") from e


def moments_of_batches(batches: Batches) -> bytes | None:
    """Moments of all packed embeddings of a task."""
    total: Moments | None = None
    for batch in batches:
        if len(batch):
            part = Moments.of(unpack(batch.column(0)))
            total = part if total is None else total.merge(part)
    return None if total is None else total.to_bytes()


def merge_moments(one: bytes, other: bytes) -> bytes:
    """Moments of both."""
    return Moments.from_bytes(one).merge(Moments.from_bytes(other)).to_bytes()


def _write_vectors(
    warehouse: Warehouse, embeddings: DataFrame, projection: Projection, before: Projection | None
) -> tuple[int, int]:
    """Vectors for the embeddings that have none in this projection; those of the projection before it go."""
    projection_id = projection.projection_id
    is_new = before is None or before.projection_id != projection_id
    if is_new:
        todo = embeddings
    else:
        have = warehouse.read_or_empty(VECTORS).where(F.col("projection_id") == projection_id).select("image_id")
        todo = embeddings.join(have, on="image_id", how="left_anti")
    rows = compress(todo, projection).withColumn("projection_id", F.lit(projection_id)).persist()
    try:
        n, n_good = rows.agg(F.count("*"), F.count("vector")).first()
        good = rows.where(F.col("vector").isNotNull())
        if is_new:
            gone = [f"'{p}'" for p in {projection_id, before.projection_id if before else projection_id}]
            warehouse.replace(VECTORS, good, where=f"projection_id IN ({', '.join(gone)})")
        elif n_good:
            warehouse.append(VECTORS, good)
        if n > n_good:
            refused = rows.where(F.col("vector").isNull()).select(
                F.col("image_id").alias("path"), "image_id", F.lit("compress").alias("stage"),
                F.lit(projection.encoder_id).alias("encoder_id"), F.lit("no_direction").alias("reason"),
                F.lit("nothing of the embedding is left after the mean is taken away").alias("detail"),
                F.current_timestamp().alias("quarantined_at"),
            )  # fmt: skip
            warehouse.merge(QUARANTINE, refused)
        return n, n - n_good
    finally:
        rows.unpersist()


def _kept_neighbours(embeddings: DataFrame, total: int, projection: Projection) -> float:
    """What compression cost: the share of each image's ten nearest that it kept, on a sample."""
    sample = sample_rows(embeddings, "image_id", LOSS_SAMPLE, total).select("embedding").limit(LOSS_SAMPLE * 2).toArrow()
    before = unpack(sample.column("embedding"))
    top_k = min(10, len(before) - 1)
    return overlap_at_k(before, projection.apply(before), top_k) if top_k >= 1 else 1.0
