"""The scan that both engines share: gallery rows are packed a chunk at a time, compared tile by tile, and what reaches
its query's limit is scored.

The type of the packed queries says which engine's ``Kernel`` is taken, while the scan is compiled: the choice costs
nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from imgsearch.compiled import compiled
from imgsearch.topk.ranking import score_pairs

PAIRS = 128  # pairs kept back before they are scored


class Work(NamedTuple):
    """Memory of one scan: ``rows`` (tiles, depth, rows a tile, …), ``limits`` and ``masks`` (queries a tile,), and
    (room,) int64 ``pair_queries`` and ``pair_rows`` that are still to be scored."""

    rows: NDArray[Any]
    limits: NDArray[Any]
    masks: NDArray[np.uint32]
    pair_queries: NDArray[np.int64]
    pair_rows: NDArray[np.int64]


class Kernel(NamedTuple):
    """What an engine brings, all compiled.

    - ``memory(packed)`` → ``Work.rows``, ``Work.limits``
    - ``pack_chunk(packed, gallery, first, last, rows)`` → measures of gallery rows ``first:last``, whose ``norm`` is
      infinite where a row is not finite
    - ``set_limits(packed, thresholds, first_query, measures, limits)``: what a product with each query of a tile must
      reach
    - ``reach(queries, rows, limits, masks, depth)``: one tile, see ``tile.tile_code``
    """

    memory: Any
    pack_chunk: Any
    set_limits: Any
    reach: Any


_KERNELS: dict[type, Kernel] = {}


def register(packed: type, measures: type, kernel: Kernel) -> None:
    """Scan queries packed as ``packed``, and chunks with these ``measures``, by this kernel."""
    _KERNELS[packed] = _KERNELS[measures] = kernel


def memory(packed: Any) -> Any:
    """``Kernel.memory`` of the engine that packed the queries: for compiled callers only, as the three below."""
    raise NotImplementedError


def pack_chunk(packed: Any, gallery: Any, first: Any, last: Any, rows: Any) -> Any:
    """``Kernel.pack_chunk``."""
    raise NotImplementedError


def set_limits(packed: Any, thresholds: Any, first_query: Any, measures: Any, limits: Any) -> None:
    """``Kernel.set_limits``."""
    raise NotImplementedError


def reach(measures: Any, queries: Any, rows: Any, limits: Any, masks: Any, depth: Any) -> Any:
    """``Kernel.reach``, chosen by the chunk's measures: they are numbers, and references to arrays would be counted."""
    raise NotImplementedError


@overload(memory)
def _memory(packed):  # type: ignore[no-untyped-def]
    engine = _KERNELS[packed.instance_class].memory
    return lambda packed: engine(packed)


@overload(pack_chunk)
def _pack_chunk(packed, gallery, first, last, rows):  # type: ignore[no-untyped-def]
    engine = _KERNELS[packed.instance_class].pack_chunk
    return lambda packed, gallery, first, last, rows: engine(packed, gallery, first, last, rows)


@overload(set_limits)
def _set_limits(packed, thresholds, first_query, measures, limits):  # type: ignore[no-untyped-def]
    engine = _KERNELS[packed.instance_class].set_limits
    return lambda packed, thresholds, first_query, measures, limits: engine(
        packed, thresholds, first_query, measures, limits
    )


@overload(reach)
def _reach(measures, queries, rows, limits, masks, depth):  # type: ignore[no-untyped-def]
    engine = _KERNELS[measures.instance_class].reach
    return lambda measures, queries, rows, limits, masks, depth: engine(queries, rows, limits, masks, depth)


@intrinsic
def _lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Index of the lowest set bit of a uint32 that has one."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.cttz(args[0], ir.Constant(ir.IntType(1), 1)), ir.IntType(64))

    return types.intp(types.uint32), code


@compiled
def scan(queries, packed, batch, start, stop, target):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Offer rows ``start:stop`` to every query. Returns the number of pairs that had to be scored, or -1 when a gallery
    row is not finite. Needs 4 bytes a packed coordinate of a chunk."""
    rows, limits = memory(packed)
    room = PAIRS + len(limits) * rows.shape[2]
    masks = np.empty(len(limits), np.uint32)
    work = Work(rows, limits, masks, np.empty(room, np.int64), np.empty(room, np.int64))
    chunk, scored = rows.shape[0] * rows.shape[2], 0
    for first in range(start, stop, chunk):
        last = min(first + chunk, stop)
        measures = pack_chunk(packed, batch.gallery, first, last, rows)
        if not measures.norm < np.inf:
            return -1
        for tile in range(packed.panels.shape[0]):
            scored += _scan_tile(queries, packed, batch, tile, first, last, measures, work, target)
    return scored


@compiled
def _scan_tile(queries, packed, batch, tile, first, last, measures, work, target):  # type: ignore[no-untyped-def]
    """One tile of queries with the packed chunk of rows ``first:last``; how many pairs were scored."""
    depth, n_queries, n_rows = work.rows.shape[1], len(work.limits), work.rows.shape[2]
    masks, pair_queries, pair_rows = work.masks, work.pair_queries, work.pair_rows
    query_place = packed.panels.ctypes.data + tile * depth * n_queries * 4
    row_place, limit_place, mask_place = work.rows.ctypes.data, work.limits.ctypes.data, masks.ctypes.data
    first_query = tile * n_queries
    last_query = min(first_query + n_queries, len(queries))
    set_limits(packed, target.thresholds, first_query, measures, work.limits)
    n_pairs, scored = 0, 0
    for first_row in range(first, last, n_rows):
        if reach(measures, query_place, row_place, limit_place, mask_place, depth) != 0:
            for query in range(first_query, last_query):
                mask = masks[query - first_query]
                while mask != 0:
                    row = first_row + _lowest_bit(mask)  # type: ignore[call-arg]
                    mask &= mask - np.uint32(1)
                    if row < last:
                        pair_queries[n_pairs], pair_rows[n_pairs] = query, row
                        n_pairs += 1
        row_place += depth * n_rows * 4
        if n_pairs >= PAIRS or (n_pairs > 0 and first_row + n_rows >= last):
            score_pairs(queries, batch, pair_queries, pair_rows, n_pairs, target)
            scored += n_pairs
            n_pairs = 0
            set_limits(packed, target.thresholds, first_query, measures, work.limits)
    return scored
