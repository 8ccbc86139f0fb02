"""Arrow batches between Spark and pure functions: map over packed vectors, gather mergeable parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from imgsearch.lake.session import is_connect, n_slots

Batches = Iterator[pa.RecordBatch]
Part = TypeVar("Part")

#: Partial results that the driver takes at once; more are merged on the executors first.
DRIVER_PARTS = 8


def gather(
    frame: DataFrame,
    reduce_batches: Callable[[Batches], bytes | None],
    merge: Callable[[bytes, bytes], bytes],
    n_partitions: int | None = None,
) -> bytes | None:
    """One value from a frame: ``reduce_batches`` in each task, ``merge`` in a tree. ``None`` for no rows.

    Both are called on executors and must be picklable. The driver never holds more than ``DRIVER_PARTS`` parts, so its
    memory does not grow with the frame. ``n_partitions``: those of ``frame`` where the caller knows them; asking Spark
    plans the query once more.
    """

    def reduce_task(batches: Batches) -> Batches:
        part = reduce_batches(batches)
        if part is not None:
            yield _part(part)

    def merge_task(batches: Batches) -> Batches:
        merged: bytes | None = None
        for batch in batches:
            for value in batch.column(0):
                merged = value.as_py() if merged is None else merge(merged, value.as_py())
        if merged is not None:
            yield _part(merged)

    slots = n_slots(frame.sparkSession)
    if is_connect(frame.sparkSession) or (n_partitions or frame.rdd.getNumPartitions()) > slots:
        frame = frame.coalesce(slots)
    parts = frame.mapInArrow(reduce_task, "part binary")
    n_parts = slots
    while n_parts > DRIVER_PARTS:
        n_parts = max(DRIVER_PARTS // 2, int(n_parts**0.5))
        parts = parts.repartition(n_parts).mapInArrow(merge_task, "part binary")
    result: bytes | None = None
    for value in parts.toArrow().column("part"):
        result = value.as_py() if result is None else merge(result, value.as_py())
    return result


def streamed(frame: DataFrame) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema of a frame, and its rows in their order, for a file: the driver holds one partition at a time."""

    def packed(batches: Batches) -> Batches:
        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            yield _part(sink.getvalue().to_pybytes())

    parts = frame.mapInArrow(packed, "part binary").toLocalIterator()
    batches = (batch for part in parts for batch in pa.ipc.open_stream(part["part"]))
    return to_arrow_schema(frame.schema), batches


def sample_rows(frame: DataFrame, key: str, n_rows: int, total: int, seed: int = 0) -> DataFrame:
    """About ``n_rows`` of ``total`` rows, chosen by a hash of ``key``: the same rows whatever the partitioning."""
    return frame if n_rows >= total else frame.where(sampled_share(key, n_rows, total, seed))


def sampled_share(key: str, n_rows: int, total: int, seed: int = 0) -> Column:
    """True for about ``n_rows`` of ``total``, by a hash of ``key``: the same rows whatever the partitioning."""
    buckets = 1 << 30
    return F.pmod(F.xxhash64(key, F.lit(seed)), F.lit(buckets)) < min(buckets, int(buckets * n_rows / total))


def _part(value: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([value], pa.binary())], names=["part"])
