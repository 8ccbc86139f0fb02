"""The Pandas UDFs of the network: from a file's bytes to its embedding (and vector), in one pass.

The CNN is broadcast as an ONNX graph; a Python worker builds it once and keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pyspark import Accumulator, Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.encoders.augmentation import embed_variants
from imgsearch.encoders.embedding import embed_files
from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.feature_maps import graph_with_maps
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.region_network import RegionNetwork
from imgsearch.encoders.region_rows import PACKED, packed_regions
from imgsearch.encoders.runtime import Runtime, load_runtime
from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits
from imgsearch.lake.local_files import content_of
from imgsearch.lake.lost_workers import is_retry
from imgsearch.lake.progress import Progress
from imgsearch.lake.worker import keep
from imgsearch.projections.projection import Projection
from imgsearch.projections.storage import stored
from imgsearch.vectors import pack

EMBEDDED = (
    "image_id string, embedding binary, vector binary, sharpness float, brightness float, contrast float, "
    "entropy float, reason string, detail string, thumbnail binary"
)


def embed(
    images: DataFrame,
    encoder: Encoder,
    graph: Broadcast[bytes],
    limits: DecodeLimits | None = None,
    progress: Progress | None = None,
    projection: Broadcast[Projection] | None = None,
    *,
    thumbnails: bool = False,
    regions: bool = False,
) -> DataFrame:
    """Images (``path``, ``content`` or null) → the same rows and the columns of ``EMBEDDED``.

    ``embedding`` is null where the image could not be used; ``reason`` and ``detail`` then say why. ``vector`` is null
    there, without a ``projection``, and where an embedding has no direction left in it; ``thumbnail`` is null there and
    without ``thumbnails``. ``regions``: and the columns of ``region_rows.PACKED``; ``graph`` is then one with maps.

    A file can end the worker that decodes it (a codec that crashes, memory). A task that Spark tries again, and every
    task with ``limits.apart``, therefore decodes each image in a child process (``lake/isolation.py``): the culprit
    becomes a row with the reason ``killed_worker`` and the others are embedded. That takes one more attempt at some
    5 ms more an image, and names the image at once; to halve a task of 512 until the culprit is alone would take nine
    attempts, each with a worker to lose. Nothing is spent on tasks that are well.
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
        thumbnails=thumbnails,
        regions=regions,
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
    *,
    thumbnails: bool = False,
    regions: bool = False,
) -> Callable[..., Any]:
    """The Pandas UDF (iterator form): (path, content or null) → ``EMBEDDED``. Captures handles and small values."""

    def embed_batches(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:
        runtime = worker_runtime(encoder, graph, n_threads, regions=regions)
        reduced = projection.value if projection else None
        bounds = replace(limits, apart=limits.apart or is_retry())
        for paths, contents in batches:
            frame = embed_batch(paths, contents, runtime, encoder, bounds, n_threads, reduced, thumbnails=thumbnails)
            if done is not None and bad is not None:
                done.add(len(frame))
                bad.add(int(frame["reason"].notna().sum()))
            yield frame

    return F.pandas_udf(embed_batches, returnType=embedded_columns(regions=regions))  # type: ignore[call-overload]


def embedded_columns(*, regions: bool) -> str:
    """``EMBEDDED``, with the columns of regions where they are asked for."""
    return f"{EMBEDDED}, {PACKED}" if regions else EMBEDDED


def broadcast_graph(spark: SparkSession, encoder: Encoder, *, regions: bool = False) -> Broadcast[bytes]:
    """The network as data, for every executor; ``regions``: with its feature map. Raises ``UserError`` without one."""
    return spark.sparkContext.broadcast(graph_with_maps(encoder) if regions else graph_of(encoder))


def worker_runtime(encoder: Encoder, graph: Broadcast[bytes], n_threads: int, *, regions: bool = False) -> Runtime:
    """This worker's network, built at its first batch."""
    if regions:
        key = ("regions", encoder.encoder_id, n_threads)
        return keep(key, lambda: RegionNetwork(graph.value, encoder, n_threads))
    return keep(("encoder", encoder.encoder_id, n_threads), lambda: load_runtime(graph.value, encoder, n_threads))


def embed_batch(
    paths: pd.Series,
    contents: pd.Series,
    runtime: Runtime,
    encoder: Encoder,
    limits: DecodeLimits,
    n_threads: int,
    projection: Projection | None = None,
    *,
    thumbnails: bool = False,
) -> pd.DataFrame:
    """One batch of files → a frame of ``embedded_columns``, in the same order."""
    digests: list[str | None] = [None] * len(paths)

    def source(i: int, path: str, content: bytes | None) -> Callable[[], bytes]:
        def read() -> bytes:
            data = content_of(path, content, limits.memory)
            digests[i] = hashlib.sha256(data).hexdigest()
            return data

        return read

    sources = (source(i, path, content) for i, (path, content) in enumerate(zip(paths, contents, strict=True)))
    result = embed_files(sources, runtime, encoder.preprocessing, encoder.dim, limits, n_threads, thumbnails=thumbnails)
    ok = np.array([e is None for e in result.errors], bool)
    vectors = [None] * len(ok)
    if projection is not None:
        vectors = stored(projection.apply(result.embeddings), projection.storage).to_pylist()
    columns = {"embedding": pack(result.embeddings).to_pylist(), "vector": vectors, "thumbnail": result.thumbnails}
    columns |= {} if result.regions is None else packed_regions(result.regions, projection)
    usable = {name: [v if good else None for v, good in zip(vs, ok, strict=True)] for name, vs in columns.items()}
    frame = pd.DataFrame({"image_id": digests, **usable})
    for column, name in enumerate(("sharpness", "brightness", "contrast", "entropy")):
        frame[name] = np.where(ok, result.quality[:, column], np.float32("nan")).astype(np.float32)
    frame["reason"] = [e and e.reason for e in result.errors]
    frame["detail"] = [e and e.detail for e in result.errors]
    order = embedded_columns(regions=result.regions is not None)
    return frame[[part.split()[0] for part in order.split(", ")]]


def augment_udf(
    encoder: Encoder, graph: Broadcast[bytes], limits: DecodeLimits, ways: tuple[str, ...]
) -> Callable[..., Any]:
    """A Pandas UDF: (path, content or null) → the packed mean embedding of the variants; null where there is none."""

    def augment(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        runtime = worker_runtime(encoder, graph, 1)
        bounds = replace(limits, apart=limits.apart or is_retry())
        for paths, contents in batches:
            packed: list[bytes | None] = []
            for path, content in zip(paths, contents, strict=True):
                try:
                    data = content_of(path, content, limits.memory)
                    mean = embed_variants(data, ways, runtime, encoder.preprocessing, bounds)
                    packed.append(pack(mean[None])[0].as_py() if mean.any() else None)
                except ImageError:  # the plain embedding of the same file says why, in its own row
                    packed.append(None)
            yield pd.Series(packed, dtype=object)

    return F.pandas_udf(augment, returnType="binary")  # type: ignore[call-overload]
