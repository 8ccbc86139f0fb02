"""The two passes of scaling an image, as compiled loops over 8-bit pixels of four bytes and weights in fixed point.

Both lay the work out so that one weight meets neighbouring bytes: down, a row's bytes are neighbours already; across,
``LANES`` rows are woven into each other first.
"""

from __future__ import annotations

import numpy as np

from imgsearch.compiled import compiled
from imgsearch.images.filters import BITS

LANES = 16  # rows side by side: 64 bytes of pixels, a row of the woven block
HALF = 1 << (BITS - 1)


@compiled
def across(pixels, starts, counts, weights, out):  # type: ignore[no-untyped-def]
    """Scale rows: ``out[y, x] = sum_j weights[x, j] * pixels[y, starts[x] + j]`` for ``counts[x]`` weights, rounded.

    ``pixels`` (h, w) and ``out`` (h, m): uint32, each four bytes of a pixel. ``starts``, ``counts``: (m,) int64.
    ``weights``: (m, k) int32, ``BITS`` of fraction.
    """
    height, width = pixels.shape
    scaled_width = out.shape[1]
    woven = np.empty((width, LANES), np.uint32)
    bytes_of = woven.view(np.uint8)  # (width, 4 * LANES)
    sums = np.empty(4 * LANES, np.int32)
    scaled = np.empty((1, LANES), np.uint32)
    scaled_bytes = scaled.view(np.uint8)
    for top in range(0, height, LANES):
        rows = min(LANES, height - top)
        for lane in range(rows):
            for x in range(width):
                woven[x, lane] = pixels[top + lane, x]
        for x in range(scaled_width):
            sums[:] = HALF
            for j in range(counts[x]):
                weight, at = weights[x, j], starts[x] + j
                for lane in range(4 * LANES):
                    sums[lane] += weight * np.int32(bytes_of[at, lane])
            for lane in range(4 * LANES):
                scaled_bytes[0, lane] = np.uint8(min(max(sums[lane] >> BITS, 0), 255))
            for lane in range(rows):
                out[top + lane, x] = scaled[0, lane]


@compiled
def down(pixels, starts, counts, weights, out):  # type: ignore[no-untyped-def]
    """Scale columns: as ``across`` for the other axis. ``pixels`` (h, n) and ``out`` (m, n) are bytes."""
    n = pixels.shape[1]
    sums = np.empty(n, np.int32)
    for y in range(out.shape[0]):
        sums[:] = HALF
        for j in range(counts[y]):
            weight, at = weights[y, j], starts[y] + j
            for i in range(n):
                sums[i] += weight * np.int32(pixels[at, i])
        for i in range(n):
            out[y, i] = np.uint8(min(max(sums[i] >> BITS, 0), 255))
