"""Principal components as one saved object: mean, components and scale turn an embedding into a vector.

``vector = unit(((embedding − mean) · componentsᵀ) · scale)``. The scale is the component's standard deviation to the
power ``−whitening``: 0 keeps the cosine of the centred embeddings, 1 is full whitening (Jégou & Chum, "Negative
evidences and co-occurrences in image retrieval", ECCV 2012).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imgsearch.projections.moments import Moments
from imgsearch.projections.storage import Precision
from imgsearch.vectors import Matrix, unit

DEFAULT_WHITENING = 0.0
"""Whitening to the power 0, 0.25, 0.5, 1 (EfficientNet-Lite0, 256 components, leave one out): mAP of steel defects
0.783, 0.755, 0.675, 0.345; of groceries 0.490, 0.496, 0.484, 0.378, whose precision@10 gains 0.698 → 0.713 at 0.5.
So none is the safe default, and 0.25 to 0.5 a choice for many fine classes."""

NO_VARIANCE = 1e-7
"""A direction whose variance is below this share of the first one's is rounding noise and gets no component."""

VANISHED = 1e-6
"""A row whose projection is this small a share of the row itself stood at the mean: it has no direction left."""

LEARNED = "+wccn"
"""Ends the ``engine`` of a projection that was learned from names."""

_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Projection:
    """What turns embeddings of one encoder into vectors.

    ``mean`` (dim,), ``components`` (n_components, dim) with orthonormal rows (of a PCA), ``scale`` (n_components,) and
    ``explained_variance_ratio`` (n_components,): float32. ``engine`` names who solved it: ``gram`` or ``mllib``, with
    ``LEARNED`` after it where a map that was learned from names is part of ``components``.
    ``storage`` is the precision its vectors are kept in; another precision is another projection.
    """

    encoder_id: str
    mean: NDArray[np.float32]
    components: Matrix
    scale: NDArray[np.float32]
    explained_variance_ratio: NDArray[np.float32]
    whitening: float
    n_fitted: int
    engine: str
    storage: Precision = "float32"

    def __post_init__(self) -> None:
        n_components, dim = self.components.shape
        shapes = {"mean": (dim,), "scale": (n_components,), "explained_variance_ratio": (n_components,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"projection: {name} has shape {getattr(self, name).shape}, not {shape}")

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return int(self.components.shape[1])

    @property
    def n_components(self) -> int:
        """Width of a vector."""
        return int(self.components.shape[0])

    @property
    def is_learned(self) -> bool:
        """Whether people's names are part of it."""
        return is_learned(self.engine)

    @cached_property
    def projection_id(self) -> str:
        """Fingerprint of the encoder, of the arrays that ``apply`` uses and of the storage: 16 hex digits."""
        storage = "" if self.storage == "float32" else f"{self.storage}|"
        digest = hashlib.sha256(f"{self.encoder_id}|{self.n_components}x{self.dim}|{storage}".encode())
        for array in (self.mean, self.components, self.scale):
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()[:16]

    def apply(self, embeddings: NDArray[np.float32]) -> Matrix:
        """(n, dim) embeddings → (n, n_components) float32 unit rows.

        A row that stands at the mean, is zero, or is not finite, becomes all zeros; ``vanished`` finds them.
        Raises ``ValueError`` when the width is not ``dim``.
        """
        embeddings = np.asarray(embeddings, np.float32)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise ValueError(f"projection {self.projection_id} takes {self.dim}-d embeddings; got {embeddings.shape}")
        vectors = np.empty((len(embeddings), self.n_components), np.float32)
        for start in range(0, len(embeddings), _BLOCK):
            block = embeddings[start : start + _BLOCK]
            vectors[start : start + _BLOCK] = self._apply_block(block)
        return vectors

    def _apply_block(self, block: NDArray[np.float32]) -> Matrix:
        with np.errstate(invalid="ignore", over="ignore"):
            projected = (block - self.mean) @ self.components.T
            length = np.linalg.norm(block, axis=1)
            has_direction = np.linalg.norm(projected, axis=1) > VANISHED * length
            return unit(np.where((has_direction & (length > 0))[:, None], projected * self.scale, np.float32(0)))


def is_learned(engine: str) -> bool:
    """Whether people's names are part of a projection of this ``engine``."""
    return engine.endswith(LEARNED)


def projection_of(row: Mapping[str, Any]) -> Projection:
    """What ``projection_frame`` packed."""

    def floats(name: str) -> Matrix:
        return np.frombuffer(row[name], "<f4")

    return Projection(
        encoder_id=row["encoder_id"],
        mean=floats("mean"),
        components=floats("components").reshape(row["n_components"], row["dim"]),
        scale=floats("scale"),
        explained_variance_ratio=floats("explained_variance"),
        whitening=row["whitening"],
        n_fitted=row["n_fitted"],
        engine=row["engine"],
        storage=row["storage"],
    )


def vanished(vectors: Matrix) -> NDArray[np.bool_]:
    """(n,) mask of the rows that ``Projection.apply`` could give no direction: they are all zeros."""
    return np.asarray(~vectors.any(axis=1))


def fit(
    moments: Moments, n_components: int, encoder_id: str, whitening: float = DEFAULT_WHITENING, engine: str = "gram"
) -> Projection:
    """Leading principal components of the rows behind ``moments``, by a symmetric eigen-solver (LAPACK ``?syevr``).

    Fewer than ``n_components`` come back where the rows do not vary in so many directions (n rows: at most n − 1).
    Raises ``ValueError`` when nothing varies, or ``n_components`` is not within 1..dim.
    """
    import scipy.linalg  # not for the workers, which only apply projections

    if not 1 <= n_components <= moments.dim:
        raise ValueError(f"n_components {n_components}: must be within 1..{moments.dim}, the embeddings' width")
    covariance = moments.covariance()
    total = float(np.trace(covariance))
    if not total > 0:
        raise ValueError(f"all {moments.n} embeddings are the same: there is no direction to project on")
    first = moments.dim - n_components
    variances, columns = scipy.linalg.eigh(
        covariance, subset_by_index=[first, moments.dim - 1], overwrite_a=True, check_finite=False
    )
    variances, components = variances[::-1], columns.T[::-1]
    n_varying = min(int((variances > NO_VARIANCE * variances[0]).sum()), moments.n - 1)
    components, variances = components[:n_varying], variances[:n_varying]
    return _projection(encoder_id, moments.mean, components, variances, total, whitening, moments.n, engine)


def from_mllib(
    pc: ArrayLike, explained: ArrayLike, mean: ArrayLike, total_variance: float,
    encoder_id: str, n_fitted: int, whitening: float = DEFAULT_WHITENING,
) -> Projection:  # fmt: skip
    """The projection that an MLlib ``PCAModel`` stands for, with the mean it does not subtract folded in.

    ``pc``: (dim, n_components), a component a column (``model.pc.toArray()``); ``explained``: (n_components,) shares of
    the variance; ``mean`` (dim,) and ``total_variance`` (trace of the covariance) of the rows it was fitted on.
    """
    components = np.asarray(pc, np.float64).T
    variances = np.asarray(explained, np.float64) * total_variance
    mean = np.asarray(mean, np.float64)
    return _projection(encoder_id, mean, components, variances, total_variance, whitening, n_fitted, "mllib")


def _projection(
    encoder_id: str, mean: NDArray[np.float64], components: NDArray[np.float64], variances: NDArray[np.float64],
    total: float, whitening: float, n_fitted: int, engine: str,
) -> Projection:  # fmt: skip
    if not 0 <= whitening <= 1:
        raise ValueError(f"whitening {whitening}: must be within 0..1")
    largest = np.abs(components).argmax(axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)
    deviations = np.sqrt(np.maximum(variances, NO_VARIANCE * variances[0]))
    return Projection(
        encoder_id=encoder_id,
        mean=mean.astype(np.float32),
        components=np.ascontiguousarray(components * signs[:, None], np.float32),
        scale=(deviations**-whitening).astype(np.float32),
        explained_variance_ratio=(variances / total).astype(np.float32),
        whitening=whitening,
        n_fitted=n_fitted,
        engine=engine,
    )


def overlap_at_k(before: NDArray[np.float32], after: NDArray[np.float32], top_k: int = 10) -> float:
    """Mean share of each row's ``top_k`` nearest other rows that compression kept.

    ``before`` (n, dim) and ``after`` (n, n_components): unit rows of the same images, a sample of a few thousand.
    Raises ``ValueError`` unless both have the same number of rows, more than ``top_k``.
    """
    n = len(before)
    if len(after) != n or not 1 <= top_k < n:
        raise ValueError(f"overlap at {top_k} of {n} rows before and {len(after)} after")
    shared = 0
    for start in range(0, n, 1024):
        near_before = _nearest_others(before, start, top_k)
        near_after = _nearest_others(after, start, top_k)
        shared += int((near_before[:, :, None] == near_after[:, None, :]).sum())
    return shared / (n * top_k)


def _nearest_others(rows: NDArray[np.float32], start: int, top_k: int) -> NDArray[np.int64]:
    scores = rows[start : start + 1024] @ rows.T
    own = np.arange(len(scores))
    scores[own, start + own] = -np.inf
    return np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k]
