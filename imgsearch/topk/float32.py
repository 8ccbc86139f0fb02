"""The product in float32, for every CPU: fused multiply-adds on vectors as wide as the CPU has them.

Rows are packed coordinate by coordinate; after the ``prefix_dim`` first ones comes one more, the norm of the rest, so
that the tile's dot products are upper bounds (Cauchy–Schwarz, see ``bounds``). Their rounding is at most γ |q||g| with
γ = n 2⁻²⁴ / (1 − n 2⁻²⁴) over n = prefix_dim + 1 coordinates (Higham, Accuracy and Stability of Numerical Algorithms,
§3.1); twice that is allowed for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from imgsearch.compiled import compiled, compiled_sums, cpu_features
from imgsearch.topk.bounds import LONGEST
from imgsearch.topk.scan import Kernel, register
from imgsearch.topk.tile import TILE_SIGNATURE, Product, tile_code
from imgsearch.vectors import Matrix


def _tile() -> tuple[int, int, int]:
    """Lanes of a register, registers of rows, queries: as many sums as there are registers, less those for operands."""
    features = cpu_features()
    if "avx512f" in features:
        return 16, 2, 12
    if "avx" in features:
        return 8, 2, 6
    return 4, 3, 8  # NEON: 32 registers of 4


LANES, REGISTERS, QUERY_TILE = _tile()
ROW_TILE = LANES * REGISTERS
CHUNK = ROW_TILE * 12


class QueryPanels(NamedTuple):
    """``panels``: (tiles, prefix_dim + 1, QUERY_TILE) float32, ``norms``: (n_queries,) float64."""

    prefix_dim: int
    panels: NDArray[np.float32]
    norms: NDArray[np.float64]


def panels_of(queries: Matrix, prefix_dim: int) -> QueryPanels:
    """Pack (n, dim) float32 queries, ``4 n (prefix_dim + 1)`` bytes. Raises ``ValueError`` when a row is not finite."""
    n = len(queries)
    panels = np.zeros((-(-n // QUERY_TILE), prefix_dim + 1, QUERY_TILE), np.float32)
    norms = np.empty(n, np.float64)
    _pack(queries, 0, n, prefix_dim, panels, norms)
    broken = np.flatnonzero(~(norms < LONGEST))
    if len(broken):
        raise ValueError(f"query row {broken[0]} is not finite, or too long")
    return QueryPanels(prefix_dim, panels, norms)


@compiled_sums
def _pack(source, start, stop, prefix_dim, panels, norms):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    width = panels.shape[2]
    for r in range(start, stop):
        tile, slot = (r - start) // width, (r - start) % width
        prefix_square, rest = 0.0, 0.0
        for d in range(prefix_dim):
            prefix_square += np.float64(source[r, d]) * np.float64(source[r, d])
        for d in range(prefix_dim, source.shape[1]):
            rest += np.float64(source[r, d]) * np.float64(source[r, d])
        for d in range(prefix_dim):
            panels[tile, d, slot] = source[r, d]
        panels[tile, prefix_dim, slot] = np.sqrt(rest) * (1 + 1e-6)
        norms[r - start] = np.sqrt(prefix_square + rest) * (1 + 1e-6)


def _add(builder: Any, total: Any, row: Any, query: Any) -> Any:
    shape = ir.FunctionType(total.type, [total.type] * 3)
    multiply_add = builder.module.declare_intrinsic(f"llvm.fmuladd.v{LANES}f32", (), shape)
    return builder.call(multiply_add, [query, row, total])


PRODUCT = Product(
    QUERY_TILE, LANES, REGISTERS, ir.FloatType(), 0.0, _add,
    lambda builder, total, limit: builder.fcmp_ordered(">=", total, limit),
)  # fmt: skip


@intrinsic
def _reach(typing_context: Any, queries: Any, rows: Any, limits: Any, masks: Any, depth: Any) -> Any:
    return TILE_SIGNATURE, tile_code(PRODUCT)


class ChunkNorm(NamedTuple):
    """Of a chunk of gallery rows: its greatest norm, infinite where a row is not finite or too long."""

    norm: float


@compiled
def _memory(packed):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    rows = np.zeros((CHUNK // ROW_TILE, packed.prefix_dim + 1, ROW_TILE), np.float32)
    return rows, np.empty(QUERY_TILE, np.float32)


@compiled
def _pack_chunk(packed, gallery, first, last, rows):  # type: ignore[no-untyped-def]  # compiled
    norms = np.empty(last - first, np.float64)
    _pack(gallery, first, last, packed.prefix_dim, rows, norms)
    greatest = 0.0
    for norm in norms:
        greatest = max(greatest, norm) if norm < LONGEST else np.inf
    return ChunkNorm(greatest)


@compiled
def _set_limits(packed, thresholds, first_query, measures, limits):  # type: ignore[no-untyped-def]  # compiled
    """The threshold less the rounding of products, of the comparison, of underflow; an empty slot is unreachable."""
    gamma = 2 * (packed.prefix_dim + 9) * 2.0**-24
    for slot in range(QUERY_TILE):
        query = first_query + slot
        limits[slot] = np.float32(np.inf)
        if query < len(thresholds):
            threshold = np.float64(thresholds[query])
            rounding = gamma * packed.norms[query] * measures.norm + 2.0**-22 * abs(threshold) + 1e-37
            limits[slot] = np.float32(threshold - rounding if threshold != -np.inf else -np.inf)


register(QueryPanels, ChunkNorm, Kernel(_memory, _pack_chunk, _set_limits, _reach))
