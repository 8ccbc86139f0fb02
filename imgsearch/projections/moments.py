"""Count, mean and scatter matrix of embeddings: mergeable, so that one pass over a table gives its covariance.

Each batch is centred on its own mean before the float32 product, so that nothing cancels, and the batches are joined
in float64 by the pairwise update of Chan, Golub & LeVeque, "Algorithms for computing the sample variance" (1983).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imgsearch.vectors import unit_rows

BLOCK = 4096
"""Rows a float32 product sees; sums across blocks are float64."""

_HEADER = struct.Struct("<4sqq")
_MAGIC = b"GRM1"


@dataclass(frozen=True, eq=False)
class Moments:
    """``n`` rows, their ``mean`` (dim,) float64, and ``scatter`` (dim, dim) float64 = Σ (x − mean)(x − mean)ᵀ."""

    n: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @property
    def dim(self) -> int:
        """Width of the rows."""
        return int(self.mean.shape[0])

    @classmethod
    def empty(cls, dim: int) -> Moments:
        """Moments of no row: the neutral element of ``merge``."""
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    @classmethod
    def of(cls, batch: NDArray[np.float32]) -> Moments:
        """Moments of ``batch`` (n, dim) float32, in blocks of ``BLOCK`` rows.

        Raises ``ValueError`` when a value is NaN or infinite: one such row would spoil the whole matrix.
        """
        batch = np.asarray(batch, np.float32)
        if batch.ndim != 2:
            raise ValueError(f"moments are of a matrix of rows; got shape {batch.shape}")
        blocks = (_of_block(batch[start : start + BLOCK]) for start in range(0, len(batch), BLOCK))
        return reduce(Moments.merge, blocks, cls.empty(batch.shape[1]))

    @classmethod
    def of_batches(cls, batches: Iterable[NDArray[np.float32]]) -> Moments | None:
        """Moments of many small batches, gathered into full blocks first: a product a batch would cost a matrix each.

        ``None`` when there is no batch, as in an empty partition: the width is not known there.
        """
        total: Moments | None = None
        waiting: list[NDArray[np.float32]] = []
        for batch in batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= BLOCK:
                part = cls.of(np.concatenate(waiting))
                total, waiting = part if total is None else total.merge(part), []
        if waiting:
            part = cls.of(np.concatenate(waiting))
            total = part if total is None else total.merge(part)
        return total

    def merge(self, other: Moments) -> Moments:
        """Moments of the rows of both. Associative and commutative up to float64 rounding.

        Raises ``ValueError`` when the two have rows of different width.
        """
        if self.dim != other.dim:
            raise ValueError(f"moments of {self.dim}-d and of {other.dim}-d rows do not add up")
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        n = self.n + other.n
        delta = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(delta, delta * (self.n * other.n / n))
        return Moments(n, self.mean + delta * (other.n / n), scatter)

    def covariance(self) -> NDArray[np.float64]:
        """Sample covariance (dim, dim), divisor n − 1. Raises ``ValueError`` for fewer than two rows."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least two rows; got {self.n}")
        return self.scatter / (self.n - 1)

    def to_bytes(self) -> bytes:
        """Header, mean and upper triangle as little-endian float64: 16.8 MB at 2048-d."""
        values = np.concatenate([self.mean, self.scatter[np.triu_indices(self.dim)]])
        return _HEADER.pack(_MAGIC, self.n, self.dim) + values.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Moments:
        """What ``to_bytes`` wrote. Raises ``ValueError`` when the bytes are something else, or cut short."""
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise ValueError("these bytes are not serialised moments")
        _, n, dim = _HEADER.unpack_from(data)
        values = np.frombuffer(data, "<f8", offset=_HEADER.size)
        if len(values) != dim + dim * (dim + 1) // 2:
            raise ValueError(f"moments of {dim}-d rows with {len(values)} numbers: cut short or damaged")
        scatter = np.zeros((dim, dim))
        scatter[np.triu_indices(dim)] = values[dim:]
        scatter += np.triu(scatter, 1).T
        return cls(n, values[:dim].astype(np.float64), scatter)


def moments_of_batches(batches: Iterable[pa.RecordBatch]) -> bytes | None:
    """Serialised moments of all vectors of a task, in the first column of its batches: packed rows, or lists of numbers
    scaled to unit length. Nulls are left out; ``None`` where nothing is left."""
    columns = (batch.column(0).drop_null() for batch in batches)
    total = Moments.of_batches(unit_rows(column) for column in columns if len(column))
    return None if total is None else total.to_bytes()


def merge_moments(one: bytes, other: bytes) -> bytes:
    """Serialised moments of both."""
    return Moments.from_bytes(one).merge(Moments.from_bytes(other)).to_bytes()


def _of_block(block: NDArray[np.float32]) -> Moments:
    centre = block.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.isfinite(centre).all():
        raise ValueError("embeddings hold NaN or infinite values")
    centred = block - centre
    rest = centred.mean(axis=0, dtype=np.float64)  # what rounding the centre to float32 left
    scatter = (centred.T @ centred).astype(np.float64)
    scatter -= np.outer(rest, rest * len(block))
    return Moments(len(block), centre + rest, scatter)
