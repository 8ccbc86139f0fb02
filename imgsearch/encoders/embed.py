"""Embed: ``images`` → ``embeddings``, by a Pandas UDF that goes from a file's bytes to its vector.

The CNN (last layer removed) is broadcast as an ONNX graph; a Python worker builds it once and keeps it. Only images
that this encoder has neither embedded nor refused are read, and every slice is committed, so a stopped run goes on
where it was. Where the encoder's embeddings have a projection already, the same UDF writes the vector too.
"""

from __future__ import annotations

import json

from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import EmbedConfig
from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.udf import broadcast_graph, embed
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.sources import with_bytes
from imgsearch.lake.progress import Progress
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.session import n_slots
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import find_projection
from imgsearch.tables import EMBEDDINGS, ENCODERS, IMAGES, QUARANTINE, VECTORS

#: Reasons that another try may mend: these are not counted as seen.
PASSING_REASONS = ("unreadable", "changed", "timeout", "out_of_memory")
TASK_IMAGES = 512  # starting a task costs some 80 ms, an image 5 to 15


def run(spark: SparkSession, config: EmbedConfig) -> RunSummary:
    """Embed what ``config.encoder`` has not seen. Idempotent: a second run embeds nothing.

    Where the work takes several commits, ``runs`` gets a row of the job 'embed slice' for each, and then the whole
    run's own.
    """
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder = resolve(config.encoder, pooling=config.pooling, precision=config.precision)
    limits = DecodeLimits(max_pixels=config.max_pixels, seconds=config.decode_seconds)
    named = {"encoder": encoder.name, "encoder_id": encoder.encoder_id}
    # Checkpoints, not caches: Spark computes a cache anew when a table behind it is written, and every slice writes
    # 'embeddings', which is behind the question what has no embedding yet.
    todo = _unseen(warehouse, encoder.encoder_id).localCheckpoint()
    total = todo.count()
    good = bad = 0
    if total:
        graph = broadcast_graph(spark, encoder)
        _register(warehouse, encoder)
        projection = find_projection(warehouse, encoder.encoder_id)
        shared = None if projection is None else spark.sparkContext.broadcast(projection)
        n_slices = -(-total // config.slice_images)
        passing = _refused(warehouse, encoder.encoder_id).where(F.col("reason").isin(*PASSING_REASONS))
        retried = not passing.isEmpty()
        with Progress(spark.sparkContext, "embed", total) as progress:
            for number in range(n_slices):
                slice_watch = Stopwatch()
                part = todo.where(F.pmod(F.xxhash64("image_id"), F.lit(n_slices)) == number)
                n_good, n_bad = _embed_slice(
                    warehouse, part, encoder, graph, shared, limits, -(-total // n_slices), progress, retried
                )
                good, bad = good + n_good, bad + n_bad
                if n_slices > 1:  # the figures that a stopped run leaves behind
                    finish(
                        warehouse, "embed slice", slice_watch, rows_in=n_good + n_bad, rows_out=n_good,
                        quarantined=n_bad, details=named | {"slice": f"{number + 1}/{n_slices}"},
                    )  # fmt: skip
        graph.unpersist()
    return finish(
        warehouse, "embed", watch, rows_in=total, rows_out=good, quarantined=bad,
        details=named,
    )  # fmt: skip


def _unseen(warehouse: TableStore, encoder_id: str) -> DataFrame:
    """Distinct images (``image_id``, one ``path``) that this encoder has neither embedded nor refused for good."""
    images = warehouse.read(IMAGES).groupBy("image_id").agg(F.min("path").alias("path"))
    embedded = warehouse.read_or_empty(EMBEDDINGS).where(F.col("encoder_id") == encoder_id)
    refused = _refused(warehouse, encoder_id).where(~F.col("reason").isin(*PASSING_REASONS))
    seen = embedded.select("image_id").union(refused.select("image_id"))
    return images.join(seen, on="image_id", how="left_anti")


def _refused(warehouse: TableStore, encoder_id: str) -> DataFrame:
    """The rows of ``quarantine`` that this encoder's earlier runs wrote."""
    return warehouse.read_or_empty(QUARANTINE).where((F.col("stage") == "embed") & (F.col("encoder_id") == encoder_id))


def _embed_slice(
    warehouse: TableStore,
    part: DataFrame,
    encoder: Encoder,
    graph: Broadcast[bytes],
    projection: Broadcast[Projection] | None,
    limits: DecodeLimits,
    n_images: int,
    progress: Progress,
    retried: bool,
) -> tuple[int, int]:
    """Embed one slice and commit it; returns how many were embedded and how many quarantined.

    ``retried``: images may be among them that were refused before for a passing reason, and now leave quarantine.
    """
    tasks = n_tasks(warehouse.spark, n_images)
    files = with_bytes(warehouse, part).withColumnRenamed("image_id", "wanted_id").repartition(tasks)
    changed = F.col("reason").isNull() & (F.col("image_id") != F.col("wanted_id"))
    rows = (
        embed(files, encoder, graph, limits, progress, projection)
        .withColumn(
            "detail",
            F.when(changed, "the file is not the one that was ingested; ingest it again").otherwise(F.col("detail")),
        )
        .withColumn("reason", F.when(changed, "changed").otherwise(F.col("reason")))
        .drop("content")
        .localCheckpoint()
    )
    n, n_bad = rows.agg(F.count("*"), F.count("reason")).collect()[0]
    now = F.current_timestamp()
    if n > n_bad:
        good = rows.where(F.col("reason").isNull())
        warehouse.insert_new(
            EMBEDDINGS,
            good.withColumns({"encoder_id": F.lit(encoder.encoder_id), "embedded_at": now}).coalesce(_n_files(n)),
        )
        if projection is not None:  # an image that got no vector here is left to compress, which says why
            fused = good.where(F.col("vector").isNotNull())
            projected = fused.withColumn("projection_id", F.lit(projection.value.projection_id))
            warehouse.insert_new(VECTORS, projected.coalesce(_n_files(n)))
    if n_bad or retried:
        news = rows if retried else rows.where(F.col("reason").isNotNull())
        columns = news.select(
            "path", F.col("wanted_id").alias("image_id"), F.lit("embed").alias("stage"),
            F.lit(encoder.encoder_id).alias("encoder_id"), "reason", "detail", now.alias("quarantined_at"),
        )  # fmt: skip
        # collected, because MERGE reads its source more than once and would embed refused images again
        source = warehouse.spark.createDataFrame(columns.toArrow())
        warehouse.merge(QUARANTINE, source, delete=F.col("s.reason").isNull())
    return n - n_bad, n_bad


def n_tasks(spark: SparkSession, n_images: int) -> int:
    """Tasks for a slice: whole rounds of the slots there are, two at least, of about ``TASK_IMAGES`` images a task."""
    slots = n_slots(spark)
    rounds = max(2, round(n_images / (TASK_IMAGES * slots)))
    return max(1, min(n_images, rounds * slots))


def _n_files(n_rows: int) -> int:
    """Files for an append: about 16,000 embeddings (80 MB at 1280-d) each."""
    return max(1, n_rows // 16_000)


def _register(warehouse: TableStore, encoder: Encoder) -> None:
    """Note the encoder in ``encoders``, so that a search can use the same one."""
    row = (encoder.encoder_id, encoder.name, encoder.dim, json.dumps(encoder.settings, sort_keys=True))
    frame = warehouse.spark.createDataFrame([row], "encoder_id string, name string, dim int, settings string")
    warehouse.merge(ENCODERS, frame.withColumn("created_at", F.current_timestamp()), update=False)
