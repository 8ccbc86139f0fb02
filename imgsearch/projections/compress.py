"""Compress: ``embeddings`` → ``vectors``, by a PCA whose mean is folded in, unit length again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyspark.ml.feature import PCA
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import CompressConfig
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.batches import Batches, gather, sample_rows
from imgsearch.lake.mllib import jvm_heap, pca_model
from imgsearch.lake.quarantine import quarantine, without_direction
from imgsearch.lake.runs import RunSummary, Stopwatch, exclusive, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.learning import learn_projection, named_images, tell
from imgsearch.projections.moments import Moments, merge_moments, moments_of_batches
from imgsearch.projections.pending import without_vector
from imgsearch.projections.projecting import compress
from imgsearch.projections.projection import DEFAULT_WHITENING, Projection, fit, from_mllib, is_learned, overlap_at_k
from imgsearch.projections.region_vectors import write_region_vectors
from imgsearch.projections.spaces import EncoderRecord, encoder_record, find_projection, keep_projection
from imgsearch.projections.storage import expand, loss, shrink
from imgsearch.tables import EMBEDDINGS, PROJECTIONS, REGION_VECTORS, VECTORS
from imgsearch.vectors import double_lists, unpack

DEFAULT_COMPONENTS = 256
LOSS_SAMPLE = 2_000
MLLIB_HEAP = 1_800_000_000  # bytes, at 2048-d; it grows with the square
MLLIB_ROWS = 512  # that go to MLlib in one Arrow batch: 8 MB at 2048-d


@exclusive("vectors")
def run(spark: SparkSession, config: CompressConfig) -> RunSummary:
    """Fit a projection if there is none that fits the request, and apply it to the embeddings that lack a vector.

    With ``config.labels`` the projection is a plain one, and one that is learned from names follows it if it helps.
    """
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder = encoder_record(warehouse, config.encoder)
    embeddings = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == encoder.encoder_id)
    total = embeddings.count()
    names = named_images(warehouse, config.labels) if config.labels is not None else None
    before = find_projection(warehouse, encoder.encoder_id, plain=names is not None)
    projection = _reusable(before, config, encoder.dim, total)
    if projection is None:
        projection = fit_projection(embeddings, total, encoder, before, config)
    is_new = before is None or before.projection_id != projection.projection_id
    details = _loss(embeddings, total, projection) if is_new else {}
    notes = () if is_new else _notes(projection, total, config.fit_images)
    # vectors first, then what makes them the current ones, then the old ones go: a stopped run harms nothing
    rows_in, bad = _write_vectors(warehouse, embeddings, projection, is_new)
    if is_new:
        _save(warehouse, projection)
    if names is not None:
        learned = learn_projection(warehouse, names, projection)
        current = find_projection(warehouse, encoder.encoder_id)
        projection = learned.projection or projection
        is_new = current is None or current.projection_id != projection.projection_id
        if learned.projection is not None:
            rows_in, bad = _write_vectors(warehouse, embeddings, projection, is_new)
        if is_new:
            _save(warehouse, projection)  # the one that was decided on becomes the latest
        details, notes = details | tell(warehouse, learned), (*notes, learned.note)
    if warehouse.exists(VECTORS):
        _remove_outdated(warehouse)
    return finish(
        warehouse, "compress", watch, rows_in=rows_in, rows_out=rows_in - bad, quarantined=bad,
        details=details | _described(projection), notes=notes,
    )  # fmt: skip


def _described(projection: Projection) -> dict[str, object]:
    return {
        "projection_id": projection.projection_id,
        "n_components": projection.n_components,
        "explained_variance": f"{projection.explained_variance_ratio.sum():.4f}",
        "engine": projection.engine,
    }


def _notes(projection: Projection, total: int, fit_images: int) -> tuple[str, ...]:
    """A projection is old when there are twice the embeddings that it was fitted on, and a fit would use more."""
    if total <= 2 * projection.n_fitted or projection.n_fitted >= fit_images:
        return ()
    return (f"the projection was fitted on {projection.n_fitted:,} of now {total:,} embeddings; --refit fits it again",)


def _save(warehouse: TableStore, projection: Projection) -> None:
    """The projection as a row of ``projections`` and as an MLlib model."""
    path = f"{warehouse.folder()}/models/pca/{projection.projection_id}"
    explained = projection.explained_variance_ratio.astype(float).tolist()
    model = pca_model(warehouse.spark, projection.components.astype(float).tolist(), explained)
    model.write().overwrite().save(path)
    keep_projection(warehouse, projection, path)


def _reusable(before: Projection | None, config: CompressConfig, dim: int, total: int) -> Projection | None:
    """The projection there is, if it answers the request, in the storage that is asked for."""
    if before is None or config.refit:
        return None
    if config.whitening is not None and abs(before.whitening - config.whitening) > 1e-6:
        return None
    is_limited = before.n_components >= min(before.n_fitted - 1, before.dim)  # by too few images, not by choice
    if config.n_components is not None or is_limited:
        requested = n_components_for(config.n_components, dim, total)
        if before.n_components != requested:
            return None
    return replace(before, storage=config.storage or before.storage)


def n_components_for(requested: int | None, dim: int, n_images: int) -> int:
    """How many components to keep. Raises ``UserError`` for a number that cannot be had."""
    if n_images < 2:
        raise UserError(
            f"there are {n_images} embeddings (copies of an image share one): a projection needs at least two; "
            f"ingest and embed other images, or run `{LAUNCHER} dedup`, which finds copies without one"
        )
    if requested is None:
        return min(DEFAULT_COMPONENTS, dim, n_images - 1)
    if requested > dim:
        raise UserError.option("n_components", requested, f"the encoder gives {dim} dimensions; ask for {dim} or fewer")
    if requested > n_images:
        raise UserError.option("n_components", requested, f"there are {n_images} images; ask for {n_images} or fewer")
    return requested


def fit_projection(
    embeddings: DataFrame, total: int, encoder: EncoderRecord, before: Projection | None, config: CompressConfig
) -> Projection:
    """A projection of ``embeddings`` (or of a sample of ``config.fit_images``), by either engine.

    What ``config`` leaves open is as in the projection ``before`` it, if there was one.
    """
    n_components = n_components_for(config.n_components, encoder.dim, total)
    whitening = config.whitening
    if whitening is None:
        whitening = before.whitening if before else DEFAULT_WHITENING
    sample = sample_rows(embeddings, "image_id", config.fit_images, total).select("embedding")
    if config.engine == "mllib":
        refuse_small_heap(embeddings.sparkSession, encoder.dim)
    moments = gather(sample, moments_of_batches, merge_moments)
    if moments is None:
        raise UserError("there is no embedding to fit a projection on; run embed first")
    try:
        fitted = fit_with(
            config.engine, sample, Moments.from_bytes(moments), n_components, encoder.encoder_id, whitening
        )
    except ValueError as e:
        raise UserError(f"compress: {e}") from e
    return replace(fitted, storage=config.storage or (before.storage if before else "float32"))


def fit_with(
    engine: str, embeddings: DataFrame, moments: Moments, n_components: int, encoder_id: str, whitening: float
) -> Projection:
    """``gram``: from ``moments`` alone. ``mllib``: Spark's own ``PCA.fit`` on ``embeddings`` (packed ``embedding``)."""
    if engine == "gram":
        return fit(moments, n_components, encoder_id, whitening)
    lists = embeddings.select("embedding").mapInArrow(row_lists, "row array<double>")
    frame = lists.select(array_to_vector(F.col("row")).alias("features")).persist()  # it is read several times
    try:
        model = PCA(k=min(n_components, moments.n - 1), inputCol="features", outputCol="vector").fit(frame)
    finally:
        frame.unpersist()
    explained = np.asarray(model.explainedVariance.toArray())
    spread = float(np.trace(moments.covariance()))
    return from_mllib(model.pc.toArray(), explained, moments.mean, spread, encoder_id, moments.n, whitening)


def refuse_small_heap(spark: SparkSession, dim: int) -> None:
    """MLlib solves on the driver: 2048-d dies in a heap of 1 GB and lives in one of 2 GB. Raises ``UserError``."""
    heap = jvm_heap(spark)
    needed = int(MLLIB_HEAP * (dim / 2048) ** 2)
    if heap < needed:
        megabytes = -(-needed // 2**20)
        raise UserError(
            f"--engine mllib: its fit of {dim}-d embeddings needs a driver heap of {megabytes:,} MB and this one has "
            f"{heap // 2**20:,} MB; give --driver-memory {megabytes + 200}m, or leave the engine at gram"
        )


def row_lists(batches: Batches) -> Batches:
    """(embedding) batches → one list of float64 a row.

    Not a plain ``udf``: on a Parquet column of 8 kB values Spark 4.2's Arrow-optimised one waits for ever.
    """
    for batch in batches:
        for start in range(0, len(batch), MLLIB_ROWS):
            rows = unpack(batch.column(0).slice(start, MLLIB_ROWS))
            yield pa.RecordBatch.from_arrays([double_lists(rows)], names=["row"])


def _write_vectors(
    warehouse: TableStore, embeddings: DataFrame, projection: Projection, is_new: bool
) -> tuple[int, int]:
    """Vectors for the embeddings (and regions) without one in this projection.

    Returns how many images were tried and how many failed.
    """
    projection_id = projection.projection_id
    todo = embeddings
    if not is_new:
        vectors = warehouse.read_or_empty(VECTORS).where(F.col("projection_id") == projection_id)
        todo = without_vector(warehouse, embeddings, vectors)
    rows = compress(todo, projection, projection.storage).withColumn("projection_id", F.lit(projection_id)).persist()
    try:
        n, n_good = rows.agg(F.count("*"), F.count("vector")).collect()[0]
        good = rows.where(F.col("vector").isNotNull())
        if is_new:
            warehouse.replace(VECTORS, good, where=f"projection_id = '{projection_id}'")
        elif n_good:
            warehouse.insert_new(VECTORS, good)
        if n > n_good:
            lost = rows.select("image_id").where(F.col("vector").isNull())
            quarantine(warehouse, without_direction(lost), "compress", projection.encoder_id)
        write_region_vectors(warehouse, projection, is_new)
        return n, n - n_good
    finally:
        rows.unpersist()


def _remove_outdated(warehouse: TableStore) -> None:
    """Remove the vectors of earlier projections, and of fits that were stopped before they became a projection.

    Beside a learned projection the latest plain one stays: it can be searched by its id.
    """
    columns = ("encoder_id", "projection_id", "engine", "created_at")
    rows = sorted(
        warehouse.read(PROJECTIONS).select(*columns).collect(), key=lambda row: row["created_at"]
    )  # one a fit
    latest = {row["encoder_id"]: row for row in rows}
    plain = {row["encoder_id"]: row["projection_id"] for row in rows if not is_learned(row["engine"])}
    current = [row["projection_id"] for row in latest.values()]
    current += [plain[e] for e, row in latest.items() if is_learned(row["engine"]) and e in plain]
    outdated = ~F.col("projection_id").isin(*current)
    for spec in (VECTORS, REGION_VECTORS):
        if warehouse.exists(spec) and not warehouse.read(spec).where(outdated).isEmpty():
            warehouse.delete(spec, outdated)


def _loss(embeddings: DataFrame, total: int, projection: Projection) -> dict[str, object]:
    """What compression cost on a sample: the share of each image's ten nearest that it kept.

    Both numbers are of the vectors as they are stored; ``storage_error`` is the largest change of a score by it.
    """
    sample = sample_rows(embeddings, "image_id", LOSS_SAMPLE, total).select("embedding")
    before = unpack(sample.limit(LOSS_SAMPLE * 2).toArrow().column("embedding"))
    after = projection.apply(before)
    details: dict[str, object] = {"storage": projection.storage}
    if projection.storage != "float32":
        details["storage_error"] = f"{loss(after, projection.storage).score_error:.5f}"
        after = expand(shrink(after, projection.storage), projection.storage)
    top_k = min(10, len(before) - 1)
    details["overlap_at_10"] = f"{overlap_at_k(before, after, top_k):.4f}" if top_k >= 1 else "1.0000"
    return details
