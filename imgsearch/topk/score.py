"""The score of a pair: one float32 that depends on the two rows and on nothing else.

A matrix product rounds differently for every block size and CPU, so near-ties would change places with the
partitioning. Here the product of two float32 is exact in float64 (24 + 24 bits fit in 53), and the sums follow one
order: sixteen lanes (lane ``l`` takes the coordinates ``l, l + 16, …``), then halves added to halves, then what is left
of a dimension that 16 does not divide, one by one. Only the last step rounds to float32. Fused or separate
multiply-add, AVX-512 or NEON: the bits are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from imgsearch.compiled import compiled
from imgsearch.vectors import Matrix

LANES = 16


@intrinsic
def _lane_sum(typing_context: Any, left: Any, right: Any, steps: Any) -> Any:
    """Σ over ``steps`` x 16 float32 at two addresses, in the order above, as float64; ``steps`` is at least 1."""
    signature = types.float64(types.intp, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left, right, steps = args
        word, pointer = ir.IntType(64), ir.PointerType()
        floats, doubles = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.DoubleType(), LANES)
        before = builder.basic_block
        loop, done = builder.append_basic_block("lanes"), builder.append_basic_block("lanes.done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, total = builder.phi(word), builder.phi(doubles)
        offset = builder.mul(step, word(4 * LANES))
        values = [
            builder.fpext(
                builder.load(builder.inttoptr(builder.add(base, offset), pointer), typ=floats, align=4), doubles
            )
            for base in (left, right)
        ]
        summed = builder.fadd(total, builder.fmul(*values))
        following = builder.add(step, word(1))
        step.add_incoming(word(0), before)
        step.add_incoming(following, loop)
        total.add_incoming(ir.Constant(doubles, [0.0] * LANES), before)
        total.add_incoming(summed, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
        builder.position_at_end(done)
        width = LANES
        while width > 1:
            width //= 2
            mask = ir.VectorType(ir.IntType(32), width)
            low, high = (
                builder.shuffle_vector(summed, summed, ir.Constant(mask, list(range(first, first + width))))
                for first in (0, width)
            )
            summed = builder.fadd(low, high)
        return builder.extract_element(summed, ir.IntType(32)(0))

    return signature, codegen


@compiled
def score(left, right, i, j):  # type: ignore[no-untyped-def]  # compiled: typed by its arguments
    """Score of row ``i`` of ``left`` and row ``j`` of ``right``, both C-contiguous float32 with equal row length."""
    dim = left.shape[1]
    steps = dim // 16
    total = 0.0
    if steps > 0:
        total = _lane_sum(left.ctypes.data + i * dim * 4, right.ctypes.data + j * dim * 4, steps)  # type: ignore[call-arg]
    for d in range(steps * 16, dim):
        total += np.float64(left[i, d]) * np.float64(right[j, d])
    return np.float32(total)


@compiled
def _paired(left, right, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        out[i] = score(left, right, i, i)


def paired_scores(left: Matrix, right: Matrix) -> Matrix:
    """Scores of row ``i`` of ``left`` with row ``i`` of ``right``: (n, dim) and (n, dim) float32 → (n,) float32.

    Raises ``ValueError`` when the shapes differ.
    """
    if left.shape != right.shape or left.ndim != 2:
        raise ValueError(f"rows of {left.shape} and {right.shape} do not pair up")
    out = np.empty(len(left), np.float32)
    _paired(np.ascontiguousarray(left, np.float32), np.ascontiguousarray(right, np.float32), out)
    return out
