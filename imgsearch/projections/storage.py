"""Vectors packed in fewer bytes, for storage: float32, float16 (half) or int8 (a quarter).

Unit length is not exact after packing, so ``expand`` scales rows to length one again. Loss is measured, not assumed:
``loss`` compares scores before and after on a sample; ``projection.overlap_at_k`` compares neighbours.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imgsearch.vectors import Matrix, pack_bytes, unit

Precision = Literal["float32", "float16", "int8"]

INT8_MAX = 127


def shrink(vectors: Matrix, precision: Precision) -> NDArray[np.uint8]:
    """(n, dim) float32 unit rows → (n, width) uint8, the bytes of one row each, little-endian.

    ``width`` is 4·dim, 2·dim or dim. ``int8`` is round(127 · value / max|value|) by row; the row's scale is not stored,
    since unit length gives it back. Raises ``ValueError`` for an unknown precision or values that are not finite.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("vectors hold NaN or infinite values")
    if precision == "float32":
        return vectors.astype("<f4").view(np.uint8)
    if precision == "float16":
        return vectors.astype("<f2").view(np.uint8)
    if precision == "int8":
        largest = np.abs(vectors).max(axis=1, initial=0, keepdims=True)
        return (
            np.rint(vectors * (INT8_MAX / np.where(largest > 0, largest, np.float32(1)))).astype(np.int8).view(np.uint8)
        )
    raise ValueError(f"unknown precision {precision!r}; known: {', '.join(get_args(Precision))}")


def stored(vectors: Matrix, precision: Precision) -> pa.Array:
    """(n, dim) unit rows → a binary column as the table ``vectors`` holds it; a row of zeros becomes null."""
    column = pack_bytes(shrink(vectors, precision))
    return pc.if_else(pa.array(vectors.any(axis=1)), column, pa.scalar(None, pa.binary()))


def expand(packed: NDArray[np.uint8], precision: Precision) -> Matrix:
    """What ``shrink`` packed → (n, dim) float32, unit rows again; a zero row stays zero.

    float32 comes back bit by bit. Raises ``ValueError`` for an unknown precision or a width that cannot be.
    """
    packed = np.ascontiguousarray(packed, np.uint8)
    width = packed.shape[1]
    if precision == "float32" and width % 4 == 0:
        return packed.view("<f4").astype(np.float32)
    if precision == "float16" and width % 2 == 0:
        return unit(packed.view("<f2").astype(np.float32))
    if precision == "int8":
        return unit(packed.view(np.int8).astype(np.float32))
    precisions = get_args(Precision)
    if precision not in precisions:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(precisions)}")
    raise ValueError(f"rows of {width} bytes are not {precision} vectors")


class Loss(NamedTuple):
    """``bytes_per_vector``; ``worst_cosine`` of a vector with itself packed; ``score_error``: largest |Δ cosine|."""

    bytes_per_vector: int
    worst_cosine: float
    score_error: float


def loss(sample: Matrix, precision: Precision) -> Loss:
    """What packing a sample (n, dim) of unit rows loses; ``score_error`` is over its n² pairs: thousands, not more."""
    packed = shrink(sample, precision)
    back = expand(packed, precision)
    cosines = np.einsum("ij,ij->i", sample, back, dtype=np.float64)
    error = 0.0
    for start in range(0, len(sample), 1024):
        block = slice(start, start + 1024)
        error = max(error, float(np.abs(sample[block] @ sample.T - back[block] @ back.T).max()))
    return Loss(packed.shape[1], float(cosines.min()), error)
