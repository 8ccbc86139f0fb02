"""Vectors as columns: packed float32 (little-endian, one binary value a row), as the tables have them, and lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def unit(rows: Matrix) -> Matrix:
    """Rows scaled to length one; a zero or non-finite row becomes all zeros.

    ``rows``: (n, dim) float32. Returns a new (n, dim) float32 array.
    """
    norms = np.linalg.norm(rows.astype(np.float64, copy=False), axis=1, keepdims=True)
    usable = np.isfinite(norms) & (norms > 0)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = rows / np.where(usable, norms, 1.0)
    return np.where(usable, scaled, 0.0).astype(np.float32)


def pack(rows: Matrix) -> pa.BinaryArray:
    """(n, dim) float32 → one Arrow binary value a row, without a Python object in between."""
    return pack_bytes(np.ascontiguousarray(rows, dtype="<f4").view(np.uint8))


def pack_bytes(rows: NDArray[np.uint8]) -> pa.BinaryArray:
    """(n, width) bytes → one Arrow binary value a row."""
    rows = np.ascontiguousarray(rows)
    n, width = rows.shape
    offsets = np.arange(n + 1, dtype=np.int64) * width
    if offsets[-1] >= 2**31:
        raise ValueError(f"a batch of {n} vectors of {width} bytes does not fit one Arrow binary array")
    return pa.BinaryArray.from_buffers(
        pa.binary(), n, [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(rows.reshape(-1))]
    )


def double_lists(rows: Matrix) -> pa.ListArray:
    """(n, dim) float32 → one list of float64 a row, as MLlib takes them."""
    n, dim = rows.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(dim))
    return pa.ListArray.from_arrays(offsets, pa.array(rows.astype(np.float64).reshape(-1)))


def unpack(column: pa.Array | pa.ChunkedArray | Sequence[bytes], dim: int | None = None) -> Matrix:
    """Packed vectors → (n, dim) float32, without copying where the column is one Arrow chunk.

    Raises ``ValueError`` when the rows have unequal lengths, are null, or are not ``dim`` long.
    """
    rows = unpack_bytes(column)
    width = rows.shape[1]
    if not len(rows):
        return np.empty((0, dim or 0), np.float32)
    if width % 4 or (dim is not None and width != dim * 4):
        expected = "a multiple of 4" if dim is None else dim * 4
        raise ValueError(f"vectors of {width} bytes where each should have {expected}")
    return rows.view("<f4")


def unpack_bytes(column: pa.Array | pa.ChunkedArray | Sequence[bytes]) -> NDArray[np.uint8]:
    """Binary values of one length → (n, width) bytes, without copying where the column is one Arrow chunk.

    Raises ``ValueError`` when the values have unequal lengths or are null.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(column, pa.ChunkedArray):  # combine_chunks of an empty column
        column = pa.array([], pa.binary())
    if not isinstance(column, pa.Array):
        column = pa.array(column, pa.binary())
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} vectors are null")
    n = len(column)
    if n == 0:
        return np.empty((0, 0), np.uint8)
    offset_type = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    offsets = np.frombuffer(
        column.buffers()[1], offset_type, count=n + 1, offset=column.offset * np.dtype(offset_type).itemsize
    )
    widths = np.diff(offsets)
    width = int(widths[0])
    if (widths != width).any():
        raise ValueError(f"vectors of {int(widths.min())} to {int(widths.max())} bytes where each should have {width}")
    flat = np.frombuffer(column.buffers()[2], np.uint8, count=n * width, offset=int(offsets[0]))
    return flat.reshape(n, width)


def rows_of(column: pa.Array | pa.ChunkedArray, dim: int | None = None) -> Matrix:
    """A column of packed float32 values, or of lists of numbers → (n, dim), values as they are.

    Lists of float64 stay float64; a null in a list is NaN. Raises ``ValueError`` when rows are null, have unequal
    lengths, or are not ``dim`` long.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not is_list(column.type):
        return unpack(column, dim)
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} vectors are null")
    widths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
    expected = [widths[0] if dim is None else dim] if len(widths) else []
    if widths.tolist() != expected:
        raise ValueError(f"vectors of {widths.tolist()} numbers where each should have {expected[0]}")
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), expected[0] if expected else dim or 0)


def unit_rows(column: pa.Array | pa.ChunkedArray, dim: int | None = None) -> Matrix:
    """(n, dim) float32: packed rows as they are (they are of unit length), lists scaled to unit length.

    Raises ``ValueError`` as ``rows_of``.
    """
    rows = rows_of(column, dim)
    return unit(rows) if is_list(column.type) else rows


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists of numbers; else it holds packed values."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


Ids = NDArray[np.int64]
