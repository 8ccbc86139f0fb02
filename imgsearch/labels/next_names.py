"""Which images to name next: those whose names would settle most, each of another kind than the ones before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.labels.votes import SHARPNESS
from imgsearch.vectors import Ids, Matrix


class NextNames(NamedTuple):
    """``rows`` (k,) int64, the best first; ``settles`` (k,) float64: the doubt that each takes away, in images."""

    rows: Ids
    settles: NDArray[np.float64]


def next_names(
    vectors: Matrix, confidence: NDArray[np.float32], nearest: NDArray[np.float32], at_most: int
) -> NextNames:
    """Up to ``at_most`` of ``vectors`` (n, dim), unit rows, that nobody named.

    ``confidence`` (n,): of the label that each has now; ``nearest`` (n,): its likeness to the nearest named image. An
    image with doubt ``1 − confidence`` is settled by a name as far as its likeness to that image (cosine⁸, the weight
    of a vote) exceeds the one to what is named already. The greedy choice of the greatest sum is within 63 % of the
    best one (Nemhauser, Wolsey and Fisher, 1978), and a second image of a kind gains little after the first: so it is
    coverage times doubt, and diverse. Ties go to the lower row. Time and memory grow with n².
    """
    doubt = 1 - np.asarray(confidence, np.float32)
    likeness = np.clip(vectors @ vectors.T, 0, 1) ** SHARPNESS
    present = np.clip(np.asarray(nearest, np.float32), 0, 1) ** SHARPNESS
    rows, settles = [], []
    free = np.ones(len(vectors), bool)
    for _ in range(min(at_most, len(vectors))):
        gain = np.maximum(likeness - present[:, None], 0).T @ doubt
        gain[~free] = -1
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        rows.append(best)
        settles.append(float(gain[best]))
        free[best] = False
        present = np.maximum(present, likeness[best])
    return NextNames(np.array(rows, np.int64), np.array(settles, np.float64))
