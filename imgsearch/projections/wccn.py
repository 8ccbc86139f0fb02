"""Within-class covariance normalisation: a linear map under which images of one name lie closer together.

A. O. Hatch, S. Kajarekar, A. Stolcke, "Within-class covariance normalization for SVM-based speaker recognition",
Interspeech 2006: vectors are multiplied by ``W^(-1/2)``, where ``W`` is the covariance of vectors around the mean of
their class. ``W`` of few vectors is noise in most directions, so it is first shrunk towards a multiple of the identity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imgsearch.projections.projection import LEARNED, Projection
from imgsearch.vectors import Ids, Matrix


def within_class_covariance(vectors: Matrix, classes: Ids) -> NDArray[np.float64]:
    """(n, d) vectors with class numbers (n,) from 0 → (d, d) float64: pooled covariance around the classes' means.

    Divided by n minus the number of classes; a class of one vector adds nothing. Zeros where no class has two.
    """
    n_of = np.bincount(classes, minlength=1)
    sums = np.zeros((len(n_of), vectors.shape[1]))
    np.add.at(sums, classes, vectors.astype(np.float64))
    centred = vectors - (sums / np.maximum(n_of, 1)[:, None])[classes]
    freedom = int(np.maximum(n_of - 1, 0).sum())
    return np.asarray(centred.T @ centred) / max(freedom, 1)


def normalising_map(covariance: NDArray[np.float64], shrinkage: float) -> Matrix:
    """(d, d) covariance → (d, d) float32, the symmetric ``W^(-1/2)``, to be multiplied from the right.

    ``W = (1 - shrinkage) · covariance / mean + shrinkage · identity``, where ``mean`` is the mean of the covariance's
    diagonal: full shrinkage is the identity. A covariance of zeros has nothing to normalise and gives the identity.
    Raises ``ValueError`` unless ``shrinkage`` is above 0 and at most 1: below, ``W`` may have no inverse.
    """
    if not 0 < shrinkage <= 1:
        raise ValueError(f"shrinkage {shrinkage}: must be above 0 and at most 1")
    d = len(covariance)
    mean = float(np.trace(covariance)) / d
    if not mean > 0:
        return np.eye(d, dtype=np.float32)
    shrunk = (1 - shrinkage) / mean * covariance + shrinkage * np.eye(d)
    variances, directions = np.linalg.eigh(shrunk)
    return np.asarray((directions * variances**-0.5) @ directions.T, np.float32)


def combined(projection: Projection, matrix: Matrix) -> Projection:
    """One projection that gives ``unit(projection.apply(embeddings) @ matrix)``, for ``matrix`` (n_components, d).

    Its mean is the same, its components are no longer orthonormal, its scale is one.
    """
    components = np.asarray(matrix.T, np.float64) @ (projection.components * projection.scale[:, None])
    return replace(
        projection,
        components=np.ascontiguousarray(components, np.float32),
        scale=np.ones(len(components), np.float32),
        engine=projection.engine + LEARNED,
    )
