"""Embed: ``images`` → ``embeddings``, by a Pandas UDF that goes from a file's bytes to its vector.

The CNN (last layer removed) is broadcast as an ONNX graph; a Python worker builds it once and keeps it. Only images
that this encoder has neither embedded nor refused are read, and every slice is committed, so a stopped run goes on
where it was. Where the encoder's embeddings have a projection already, the same UDF writes the vector too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from pyspark import Accumulator, Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import EmbedConfig
from imgsearch.core.embedding import embed_files
from imgsearch.core.encoder import Encoder, resolve
from imgsearch.core.images import DecodeLimits
from imgsearch.core.precision import stored
from imgsearch.core.projection import Projection
from imgsearch.core.runtime import Runtime, load_runtime
from imgsearch.core.vectors import pack
from imgsearch.lake.files import read_local, with_content
from imgsearch.lake.graphs import cached_graph
from imgsearch.lake.progress import Progress
from imgsearch.lake.session import n_slots
from imgsearch.lake.warehouse import Warehouse
from imgsearch.lake.worker import keep
from imgsearch.stages.space import find_projection
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import CONTENTS, EMBEDDINGS, ENCODERS, IMAGES, QUARANTINE, VECTORS

EMBEDDED = (
    "image_id string, embedding binary, vector binary, sharpness float, brightness float, contrast float, "
    "entropy float, reason string, detail string"
)
#: Reasons that another try may mend: these are not counted as seen.
PASSING_REASONS = ("unreadable", "changed", "timeout", "out_of_memory")
TASK_IMAGES = 512  # starting a task costs some 80 ms, an image 5 to 15
INT8_PICTURES = 48  # that int8 reads its ranges off: drawn, the same for everyone


def run(spark: SparkSession, config: EmbedConfig) -> RunSummary:
    """Embed what ``config.encoder`` has not seen. Idempotent: a second run embeds nothing.

    Where the work takes several commits, ``runs`` gets a row of the job 'embed slice' for each, and then the whole
    run's own.
    """
    watch = Stopwatch()
    warehouse = Warehouse.open(spark, config.warehouse)
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


def embed(
    images: DataFrame,
    encoder: Encoder,
    graph: Broadcast[bytes],
    limits: DecodeLimits | None = None,
    progress: Progress | None = None,
    projection: Broadcast[Projection] | None = None,
) -> DataFrame:
    """Images (``path``, ``content`` or null) → the same rows and the columns of ``EMBEDDED``.

    ``embedding`` is null where the image could not be used; ``reason`` and ``detail`` then say why. ``vector`` is null
    there, without a ``projection``, and where an embedding has no direction left in it.
    """
    n_threads = int(images.sparkSession.sparkContext.getConf().get("spark.task.cpus", "1"))
    udf = embed_udf(
        encoder,
        graph,
        limits or DecodeLimits(),
        n_threads,
        progress.done if progress else None,
        progress.bad if progress else None,
        projection,
    )
    return images.withColumn("_embedded", udf("path", "content")).select(
        *(c for c in images.columns if c != "image_id"), "_embedded.*"
    )


def embed_udf(
    encoder: Encoder,
    graph: Broadcast[bytes],
    limits: DecodeLimits,
    n_threads: int = 1,
    done: Accumulator[int] | None = None,
    bad: Accumulator[int] | None = None,
    projection: Broadcast[Projection] | None = None,
) -> Callable[..., Any]:
    """The Pandas UDF (iterator form): (path, content or null) → ``EMBEDDED``. Captures handles and small values."""

    def embed_batches(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:
        runtime = worker_runtime(encoder, graph, n_threads)
        for paths, contents in batches:
            frame = embed_batch(
                paths, contents, runtime, encoder, limits, n_threads, projection.value if projection else None
            )
            if done is not None and bad is not None:
                done.add(len(frame))
                bad.add(int(frame["reason"].notna().sum()))
            yield frame

    return F.pandas_udf(embed_batches, returnType=EMBEDDED)  # type: ignore[call-overload]


def broadcast_graph(spark: SparkSession, encoder: Encoder) -> Broadcast[bytes]:
    """The network as data, for every executor."""
    return spark.sparkContext.broadcast(graph_of(encoder))


def graph_of(encoder: Encoder) -> bytes:
    """The network as data. Torch is imported only where no earlier run exported this encoder."""

    def export() -> bytes:
        from imgsearch.core.onnx_export import export_graph
        from imgsearch.drawing.sample import sample_pictures

        size = (encoder.preprocessing.height, encoder.preprocessing.width)
        return export_graph(encoder, sample_pictures(INT8_PICTURES, size) if encoder.precision == "int8" else None)

    return cached_graph(encoder.encoder_id, export)


def worker_runtime(encoder: Encoder, graph: Broadcast[bytes], n_threads: int) -> Runtime:
    """This worker's network, built at its first batch."""
    return keep(("encoder", encoder.encoder_id, n_threads), lambda: load_runtime(graph.value, encoder, n_threads))


def embed_batch(
    paths: pd.Series,
    contents: pd.Series,
    runtime: Runtime,
    encoder: Encoder,
    limits: DecodeLimits,
    n_threads: int,
    projection: Projection | None = None,
) -> pd.DataFrame:
    """One batch of files → a frame with the columns of ``EMBEDDED``, in the same order."""
    digests: list[str | None] = [None] * len(paths)

    def source(i: int, path: str, content: bytes | None) -> Callable[[], bytes]:
        def read() -> bytes:
            data = content if content is not None else read_local(path)
            digests[i] = hashlib.sha256(data).hexdigest()
            return data

        return read

    sources = (source(i, path, content) for i, (path, content) in enumerate(zip(paths, contents, strict=True)))
    result = embed_files(sources, runtime, encoder.preprocessing, encoder.dim, limits, n_threads)
    packed = pack(result.embeddings).to_pylist()
    ok = np.array([e is None for e in result.errors], bool)
    vectors = [None] * len(packed)
    if projection is not None:
        vectors = stored(projection.apply(result.embeddings), projection.storage).to_pylist()
    frame = pd.DataFrame(
        {
            "image_id": digests,
            "embedding": [row if usable else None for row, usable in zip(packed, ok, strict=True)],
            "vector": [row if usable else None for row, usable in zip(vectors, ok, strict=True)],
        }
    )
    for column, name in enumerate(("sharpness", "brightness", "contrast", "entropy")):
        frame[name] = np.where(ok, result.quality[:, column], np.float32("nan")).astype(np.float32)
    frame["reason"] = [e and e.reason for e in result.errors]
    frame["detail"] = [e and e.detail for e in result.errors]
    return frame


def _unseen(warehouse: Warehouse, encoder_id: str) -> DataFrame:
    """Distinct images (``image_id``, one ``path``) that this encoder has neither embedded nor refused for good."""
    images = warehouse.read(IMAGES).groupBy("image_id").agg(F.min("path").alias("path"))
    embedded = warehouse.read_or_empty(EMBEDDINGS).where(F.col("encoder_id") == encoder_id)
    refused = _refused(warehouse, encoder_id).where(~F.col("reason").isin(*PASSING_REASONS))
    seen = embedded.select("image_id").union(refused.select("image_id"))
    return images.join(seen, on="image_id", how="left_anti")


def _refused(warehouse: Warehouse, encoder_id: str) -> DataFrame:
    """The rows of ``quarantine`` that this encoder's earlier runs wrote."""
    return warehouse.read_or_empty(QUARANTINE).where((F.col("stage") == "embed") & (F.col("encoder_id") == encoder_id))


def _embed_slice(
    warehouse: Warehouse,
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
        warehouse.append(
            EMBEDDINGS,
            good.withColumns({"encoder_id": F.lit(encoder.encoder_id), "embedded_at": now}).coalesce(_n_files(n)),
        )
        if projection is not None:  # an image that got no vector here is left to compress, which says why
            fused = good.where(F.col("vector").isNotNull())
            projected = fused.withColumn("projection_id", F.lit(projection.value.projection_id))
            warehouse.append(VECTORS, projected.coalesce(_n_files(n)))
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


def with_bytes(warehouse: Warehouse, images: DataFrame) -> DataFrame:
    """``image_id``, ``path`` and ``content``: from ``contents`` where they came in a table, else read by the worker."""
    if not warehouse.exists(CONTENTS):
        return with_content(warehouse.spark, images)
    contents = warehouse.read(CONTENTS)
    held = images.join(contents, on="image_id", how="inner")
    elsewhere = images.join(contents.select("image_id"), on="image_id", how="left_anti")
    return held.unionByName(with_content(warehouse.spark, elsewhere))


def _register(warehouse: Warehouse, encoder: Encoder) -> None:
    """Note the encoder in ``encoders``, so that a search can use the same one."""
    row = (encoder.encoder_id, encoder.name, encoder.dim, json.dumps(encoder.settings, sort_keys=True))
    frame = warehouse.spark.createDataFrame([row], "encoder_id string, name string, dim int, settings string")
    warehouse.merge(ENCODERS, frame.withColumn("created_at", F.current_timestamp()), update=False)
