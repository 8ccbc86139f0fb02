"""Planted classes: those that a learned projection helps, and those that it harms."""

from __future__ import annotations

import numpy as np

from imgsearch.vectors import unit

Planted = tuple[np.ndarray, np.ndarray]


def with_nuisance(seed: int, n_classes: int = 24, each: int = 5, d: int = 32) -> Planted:
    """All classes vary along the same four directions, farther than class means lie apart."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(n_classes), each)
    shared = np.linalg.qr(rng.standard_normal((d, 4)))[0].T
    rows = rng.standard_normal((n_classes, d))[classes] + 6 * rng.standard_normal((len(classes), 4)) @ shared
    return unit((rows + 0.3 * rng.standard_normal(rows.shape)).astype(np.float32)), classes


def with_kinds(seed: int, n_classes: int = 8, each: int = 12, d: int = 40) -> Planted:
    """Broad classes: a class varies along the directions that tell the other classes apart."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(n_classes), each)
    n = np.arange(len(classes))
    rows = 0.35 * rng.standard_normal((len(n), d))
    rows[n, classes] += 3
    rows[n, (classes + rng.integers(1, n_classes, len(n))) % n_classes] += rng.choice([-2.5, 2.5], len(n))
    return unit(rows.astype(np.float32)), classes
