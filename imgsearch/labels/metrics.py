"""Cluster quality against labels."""

from __future__ import annotations

import math
from typing import NamedTuple


class Contingency(NamedTuple):
    """Sums over the table of clusters and labels: ``n`` images; Σ n log n of its cells, its rows and its columns; and
    how many rows and columns it has."""

    n: int
    cells: float
    clusters: float
    labels: float
    n_clusters: int
    n_labels: int


def nmi(table: Contingency) -> float:
    """Normalised mutual information, divided by the arithmetic mean of the two entropies (scikit-learn's default)."""
    if table.n_clusters == table.n_labels == 1:
        return 1.0
    n = table.n
    entropies = [math.log(n) - total / n for total in (table.clusters, table.labels)]
    mutual = math.log(n) + (table.cells - table.clusters - table.labels) / n
    mean = sum(entropies) / 2
    return max(0.0, mutual) / mean if mean > 0 and mutual > 1e-12 else 0.0
