"""The centroids of one fit, with the numbers of their clusters."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.vectors import Ids, Matrix


class Codebook(NamedTuple):
    """``cluster_ids`` (n_clusters,) int64, ``centroids`` (n_clusters, dim) float32 unit rows, ``thresholds``
    (n_clusters,) float32.

    A member whose score is below its cluster's threshold is an outlier. All three are the fit's: they stay as they are
    while new images are assigned.
    """

    cluster_ids: Ids
    centroids: Matrix
    thresholds: NDArray[np.float32]

    @property
    def codebook_id(self) -> str:
        """Fingerprint of numbers and centroids, 16 hex digits; it does not depend on their order."""
        order = np.argsort(self.cluster_ids, kind="stable")
        digest = hashlib.sha256(self.cluster_ids[order].astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.centroids[order], "<f4").tobytes())
        return digest.hexdigest()[:16]

    def sorted(self) -> Codebook:
        """In order of ``cluster_ids``."""
        order = np.argsort(self.cluster_ids, kind="stable")
        return Codebook(self.cluster_ids[order], self.centroids[order], self.thresholds[order])
