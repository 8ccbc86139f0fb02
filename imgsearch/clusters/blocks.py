"""Vectors in large blocks: what the rounds of k-means read, twenty times over, from memory.

A block is a thousand vectors in one binary value. Spark hands it to a Python worker as it stands, where a row a vector
would be encoded and decoded again each round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.batches import Batches
from imgsearch.lake.session import n_slots
from imgsearch.vectors import Matrix, unpack

#: ``vectors`` is null where the images named cannot be clustered: zero, NaN, or not of unit length.
BLOCK_SCHEMA = "image_ids array<string>, vectors binary, sampled boolean"
BLOCK_ROWS = 1024
UNIT_SLACK = 1e-2  # as kmeans


class Sample(NamedTuple):
    """``image_ids`` (n,) in ascending order and their ``vectors`` (n, dim) float32 unit rows."""

    image_ids: list[str]
    vectors: Matrix


def in_blocks(vectors: DataFrame, dim: int, sampled: Column | None = None) -> DataFrame:
    """``image_id`` and ``vector`` → the columns of ``BLOCK_SCHEMA``, one partition a slot.

    ``sampled``: a condition on a row; rows for which it holds stand in blocks of their own.
    """
    rows = vectors.select("image_id", "vector", (F.lit(False) if sampled is None else sampled).alias("sampled"))
    return rows.mapInArrow(make_blocks(dim), BLOCK_SCHEMA).repartition(n_slots(vectors.sparkSession))


def make_blocks(dim: int) -> Callable[[Batches], Batches]:
    """(image_id, vector, sampled) batches → blocks."""

    def regroup(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        waiting: dict[bool, list[pa.RecordBatch]] = {True: [], False: []}
        for batch in batches:
            if not len(batch):
                continue
            usable = pa.array(usable_rows(unpack(batch.column(1), dim)))
            if not pc.all(usable).as_py():
                yield _block(batch.filter(pc.invert(usable)).column(0), None, False)
            for flag, parts in waiting.items():
                part = batch.filter(pc.and_(usable, batch.column(2) if flag else pc.invert(batch.column(2))))
                if len(part):
                    parts.append(part)
                if sum(map(len, parts)) >= BLOCK_ROWS:
                    yield from _whole(parts, flag)
                    waiting[flag] = []
        for flag, left in waiting.items():
            if left:
                yield from _whole(left, flag)

    return regroup


def matrix_of(block: pa.BinaryScalar, dim: int) -> Matrix:
    """(n, dim) float32 of one block, without a copy."""
    return np.frombuffer(block.as_buffer(), "<f4").reshape(-1, dim)


def read_sample(blocks: DataFrame, dim: int) -> Sample:
    """The sampled rows of ``blocks``, in order of their ids."""
    table = blocks.where(F.col("sampled") & F.col("vectors").isNotNull()).select("image_ids", "vectors").toArrow()
    if not table.num_rows:
        return Sample([], np.empty((0, dim), np.float32))
    image_ids = np.array([i for row in table.column("image_ids").to_pylist() for i in row])
    vectors = np.concatenate([matrix_of(value, dim) for value in table.column("vectors")])
    order = np.argsort(image_ids)
    return Sample(image_ids[order].tolist(), vectors[order])


def usable_rows(rows: Matrix) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(n,) bool: rows of unit length; a zero, NaN or infinite one cannot be clustered."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.abs(np.einsum("ij,ij->i", rows, rows) - 1) < UNIT_SLACK)


def _whole(parts: list[pa.RecordBatch], sampled: bool) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(parts).combine_chunks()
    for start in range(0, table.num_rows, BLOCK_ROWS):
        rows = table.slice(start, BLOCK_ROWS)
        yield _block(rows.column(0).combine_chunks(), unpack(rows.column(1)).tobytes(), sampled)


def _block(image_ids: pa.Array, vectors: bytes | None, sampled: bool) -> pa.RecordBatch:
    lists = pa.ListArray.from_arrays(pa.array([0, len(image_ids)], pa.int32()), image_ids)
    return pa.RecordBatch.from_arrays(
        [lists, pa.array([vectors], pa.binary()), pa.array([sampled])], names=["image_ids", "vectors", "sampled"]
    )
