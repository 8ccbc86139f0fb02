"""A flat map of vectors, in which what is alike lies close together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PERPLEXITY = 30.0
N_COMPONENTS = 50
MAX_ITER = 500


def tsne_map(
    vectors: NDArray[np.float32], seed: int = 0, max_points: int = 3000
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """t-SNE of at most ``max_points`` of the vectors, drawn without replacement.

    ``vectors``: (n, d) float32, finite. Returns ``(xy, indices)``: (m, 2) float32 coordinates without unit, centred,
    and the (m,) int64 row numbers they belong to, ascending; m = min(n, max_points).

    Method: van der Maaten, *Accelerating t-SNE using tree-based algorithms* (JMLR 2014), as in scikit-learn, started
    from the first two principal components (Kobak & Berens, 2019: keeps the global layout). Rows are scaled to unit
    length first, so squared Euclidean distance is 2 - 2 cosine, and reduced to 50 principal components, as its
    authors advise. It runs on one OpenMP thread, because sums over threads are not: the same vectors and seed give
    the same map.

    Raises ``ValueError`` when ``vectors`` is not a finite matrix.
    """
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"a map needs a finite (n, d) matrix; got shape {vectors.shape}")
    if max_points < 1:
        raise ValueError(f"max_points {max_points}: must be at least 1")
    n = len(vectors)
    indices = np.arange(n, dtype=np.int64)
    if n > max_points:
        indices = np.sort(np.random.default_rng(seed).choice(n, max_points, replace=False)).astype(np.int64)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        rows = principal_components(vectors[indices].astype(np.float64))
        if len(rows) < 4 or not rows.any():  # nothing to arrange: too few points, or all of them the same
            return _flat(rows), indices
        xy = _arrange(rows, seed)
    return (xy - xy.mean(axis=0)).astype(np.float32), indices


def principal_components(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, d) rows at unit length → (n, at most 50), in their own first principal components."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norms > 0, norms, 1.0)
    if len(rows) < 2 or np.ptp(rows, axis=0).max() < 1e-7:  # rounding noise is not a difference
        return np.zeros((len(rows), 1))

    from sklearn.decomposition import PCA

    n_components = min(N_COMPONENTS, *rows.shape)
    return np.asarray(PCA(n_components, svd_solver="covariance_eigh").fit_transform(rows))


def _arrange(rows: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """t-SNE, started from the first two columns at a standard deviation of 1e-4, as its authors do."""
    from sklearn.manifold import TSNE

    start = _flat(rows)
    start *= 1e-4 / start[:, 0].std()
    model = TSNE(
        n_components=2,
        perplexity=min(PERPLEXITY, (len(rows) - 1) / 3),
        init=start,
        learning_rate="auto",
        max_iter=MAX_ITER,
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(rows.astype(np.float32)))


def _flat(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """The first two columns, with zeros where there are fewer."""
    flat = np.zeros((len(rows), 2), np.float32)
    width = min(2, rows.shape[1])
    flat[:, :width] = rows[:, :width]
    return flat
