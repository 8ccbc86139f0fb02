"""The queue: which cluster comes next, what of it is shown, and how far the work is. Pure functions on arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.labels.decisions import Status
from imgsearch.vectors import Matrix

#: A cluster looks mixed if its silhouette is this many median absolute deviations below the median cluster's. On the
#: groceries (181 clusters, a quarter of them with less than 60 % of one kind): 48 marked, 54 % of them rightly, 58 % of
#: the mixed ones among them; purity of the rest .83 instead of .74.
MIXED_DEVIATIONS = 0.75
FEW_CLUSTERS = 8
NEIGHBOURS = 5


class Progress(NamedTuple):
    """How far the work is: clusters and images, all, decided about and named; shares are of all."""

    n_clusters: int
    n_images: int
    clusters_decided: int
    clusters_named: int
    images_decided: int
    images_named: int


def looks_mixed(silhouette: NDArray[np.float32], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(c,) whether a cluster looks as if it held several things: its members lie hardly nearer than to another's.

    Of fewer than ``FEW_CLUSTERS`` none does: there is nothing to compare with.
    """
    there = sizes > 0
    if there.sum() < FEW_CLUSTERS:
        return np.zeros(len(sizes), bool)
    middle = float(np.median(silhouette[there]))
    deviation = float(np.median(np.abs(silhouette[there] - middle)))
    return there & (sizes > 1) & (silhouette < middle - MIXED_DEVIATIONS * deviation)


def queue_order(
    sizes: NDArray[np.int64], open_: NDArray[np.bool_], again: NDArray[np.bool_], mixed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Positions of clusters in the order of work; empty clusters are left out.

    First those to look at again, then the open ones, then the open ones that look mixed, last those that are decided;
    in each group by the images that a name settles, then by position. All arguments are (c,).
    """
    group = np.select([again, open_ & ~mixed, open_], [0, 1, 2], 3)
    order = np.lexsort((np.arange(len(sizes)), -sizes, group))
    return order[sizes[order] > 0]


def progress(sizes: NDArray[np.int64], statuses: list[Status], n_images: int, images_named: int) -> Progress:
    """``sizes``: (c,) images of each cluster; ``statuses``: of each; ``images_named``: by clusters or by themselves."""
    decided = np.array([status not in ("open", "same_as") for status in statuses], bool) & (sizes > 0)
    named = np.array([status == "named" for status in statuses], bool) & (sizes > 0)
    return Progress(
        int((sizes > 0).sum()), n_images, int(decided.sum()), int(named.sum()),
        int(sizes[decided].sum()), images_named,
    )  # fmt: skip


def samples(
    rows: NDArray[np.int64], margins: NDArray[np.float32], medoid: int | None, n_central: int, n_borderline: int
) -> tuple[list[int], list[int]]:
    """``(central, borderline)`` rows of a cluster to look at, at most so many of each, none twice.

    ``rows``: the members, best score first; ``margins``: (n_images,) by row. Central: the medoid, then the best scores.
    Borderline: the least margins (score minus the cosine to the second-best centroid), most doubtful first.
    """
    first = [] if medoid is None else [medoid]
    central = (first + [int(row) for row in rows if row != medoid])[:n_central]
    rest = rows[~np.isin(rows, central)]
    return central, [int(row) for row in rest[np.argsort(margins[rest], kind="stable")][:n_borderline]]


def nearest_clusters(centroids: Matrix, position: int, sizes: NDArray[np.int64], n: int = NEIGHBOURS) -> list[int]:
    """Positions of the ``n`` clusters with images whose centroids are most similar, best first."""
    scores = centroids @ centroids[position]
    scores[sizes == 0] = -np.inf
    scores[position] = -np.inf
    order = np.argsort(-scores, kind="stable")[:n]
    return [int(i) for i in order if np.isfinite(scores[i])]
