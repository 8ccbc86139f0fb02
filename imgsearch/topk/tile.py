"""One tile of the product as machine code: its sums stay in registers and are compared with the limits at once.

The tile multiplies ``queries`` packed queries with ``lanes`` x ``registers`` packed gallery rows. At every step it
takes four bytes of each, in the order in which they are packed; what a step does with them is the engine's
(``Product``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

ADDRESS = types.intp
#: Of a tile's code: addresses of queries, rows, limits, masks to write, and the number of steps (1 or more) → union.
TILE_SIGNATURE = types.uint32(ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS)
WORD, LONG, POINTER = ir.IntType(32), ir.IntType(64), ir.PointerType()


class Product(NamedTuple):
    """An engine's tile: ``element`` (32 bits) of its sums and limits, ``zero``; ``add(builder, total, row, query)`` is
    one step, ``reaches(builder, total, limit)`` the comparison, all on vectors of ``lanes`` elements."""

    queries: int
    lanes: int
    registers: int
    element: Any
    zero: float
    add: Callable[[Any, Any, Any, Any], Any]
    reaches: Callable[[Any, Any, Any], Any]


def tile_code(product: Product) -> Callable[..., Any]:
    """The code of an ``@intrinsic`` with ``TILE_SIGNATURE``.

    Bit ``r`` of ``masks[q]`` is set where the dot product of query q and row r is at least ``limits[q]``. The code
    returns the masks' union.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        queries, rows, limits, masks, steps = args
        return _masks(builder, product, _sums(builder, product, queries, rows, steps), limits, masks)

    return code


def _load(builder: Any, base: Any, offset: int, kind: Any) -> Any:
    return builder.load(builder.inttoptr(builder.add(base, LONG(offset)), POINTER), typ=kind, align=4)


def _spread(builder: Any, scalar: Any, lanes: int) -> Any:
    """The scalar in every lane."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(WORD, lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, WORD(0)), undefined, first)


def _sums(builder: Any, product: Product, queries: Any, rows: Any, steps: Any) -> list[Any]:
    """The loop over the steps; its sums, query by query."""
    lanes, vector = product.lanes, ir.VectorType(product.element, product.lanes)
    before, loop = builder.basic_block, builder.append_basic_block("steps")
    done = builder.append_basic_block("steps.done")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(LONG)
    sums = [builder.phi(vector) for _ in range(product.queries * product.registers)]
    query_place = builder.add(queries, builder.mul(step, LONG(4 * product.queries)))
    row_place = builder.add(rows, builder.mul(step, LONG(4 * lanes * product.registers)))
    row_vectors = [_load(builder, row_place, 4 * lanes * v, vector) for v in range(product.registers)]
    totals = []
    for q in range(product.queries):
        query = _spread(builder, _load(builder, query_place, 4 * q, product.element), lanes)
        own = sums[q * product.registers : (q + 1) * product.registers]
        totals += [product.add(builder, total, row, query) for total, row in zip(own, row_vectors, strict=True)]
    following = builder.add(step, LONG(1))
    step.add_incoming(LONG(0), before)
    step.add_incoming(following, loop)
    for old, new in zip(sums, totals, strict=True):
        old.add_incoming(ir.Constant(vector, [product.zero] * lanes), before)
        old.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
    builder.position_at_end(done)
    return totals


def _masks(builder: Any, product: Product, sums: Sequence[Any], limits: Any, masks: Any) -> Any:
    """Write each query's mask; their union."""
    union = WORD(0)
    for q in range(product.queries):
        limit = _spread(builder, _load(builder, limits, 4 * q, product.element), product.lanes)
        mask = WORD(0)
        for v in range(product.registers):
            reached = product.reaches(builder, sums[q * product.registers + v], limit)
            bits = builder.zext(builder.bitcast(reached, ir.IntType(product.lanes)), WORD)
            mask = builder.or_(mask, builder.shl(bits, WORD(product.lanes * v)))
        builder.store(mask, builder.inttoptr(builder.add(masks, LONG(4 * q)), POINTER), align=4)
        union = builder.or_(union, mask)
    return union
