"""Ways to search side by side, on the user's own truth: which one to take, and what to type for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.labels.retrieval_quality import Estimate, Labelled, part, quality
from imgsearch.lake.store import TableStore
from imgsearch.projections.projecting import compress
from imgsearch.projections.projection import NO_VARIANCE, Projection, is_learned
from imgsearch.projections.spaces import find_projection
from imgsearch.tables import EMBEDDINGS
from imgsearch.terminal import render_table

#: What a way to search may lose of any figure, and must gain of mAP, to be taken instead of plain search.
TOLERANCE = 0.005
#: Matches that a query takes in where ``--expand`` says nothing.
EXPAND = 3
WHITENING = 0.25
#: Begins the names of the comparison's metrics.
COMPARED = "compared_"
FIGURES = {"mAP": "ap", "precision@1": "precision_1", "precision@10": "precision_10"}
#: The metric and the cut of each figure.
METRIC_NAMES = (("map", None), ("precision_at_k", 1), ("precision_at_k", 10))


class Way(NamedTuple):
    """A way to search: its ``name``, the ``projection`` it compares in, and what the user types for it."""

    name: str
    projection: Projection
    options: str
    expand: int = 0
    spread: bool = False


class Measured(NamedTuple):
    """A way to search, and its ``FIGURES`` in their order; NaN where a gallery is too small for one."""

    way: Way
    figures: tuple[float, ...]


def compare(warehouse: TableStore, projection: Projection, labelled: Labelled, expand: int) -> list[Measured]:
    """Every way of ``ways``, by the same queries among the same images: ``part`` of the labelled ones."""
    some = part(labelled)
    ids = some.frame.select("image_id", "class")
    embeddings = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == projection.encoder_id)
    embeddings = embeddings.select("image_id", "embedding").join(ids.select("image_id"), "image_id", "left_semi")
    frames: dict[str, DataFrame] = {}
    result = []
    plain = find_projection(warehouse, projection.encoder_id, plain=True) or projection
    for way in ways(plain, projection, expand):
        key = way.projection.projection_id
        if key not in frames:
            vectors = compress(embeddings, way.projection).where(F.col("vector").isNotNull())
            rows = vectors.join(ids, on="image_id", how="inner").select("image_id", "class", "vector")
            frames[key] = warehouse.stage(rows, "compared")
        estimates = quality(some._replace(frame=frames[key]), way.expand, spread=way.spread)
        missing = Estimate(float("nan"), 0.0)
        result.append(Measured(way, tuple(estimates.get(name, missing).value for name in FIGURES.values())))
    return result


def ways(plain: Projection, current: Projection, expand: int) -> Iterator[Way]:
    """Plain search first. ``plain``: a projection without names; ``current``: the one in use, learned or not.

    What is typed begins with ``compress`` where a way compares in another projection than ``current``.
    """
    m = expand or EXPAND
    usual, white = whitened(plain, 0.0), whitened(plain, WHITENING)
    refit = " --refit" if is_learned(current.engine) else ""
    to_usual, to_white = (
        [] if each.projection_id == current.projection_id else [f"compress --whitening {each.whitening:g}{refit}"]
        for each in (usual, white)
    )
    spread = ["neighbours", "search --spread"]
    yield Way("plain", usual, "; ".join([*to_usual, "search"]))
    yield Way("whitening .25", white, "; ".join([*to_white, "search"]))
    yield Way(f"expand {m}", usual, "; ".join([*to_usual, f"search --expand {m}"]), expand=m)
    yield Way("spread", usual, "; ".join([*to_usual, *spread]), spread=True)
    yield Way("whitening .25, spread", white, "; ".join([*to_white, *spread]), spread=True)
    if is_learned(current.engine):
        yield Way("learned", current, "search")
        yield Way("learned, spread", current, "; ".join(spread), spread=True)


def whitened(plain: Projection, whitening: float) -> Projection:
    """The same components, divided by their standard deviation to the power ``whitening`` instead."""
    if abs(plain.whitening - whitening) < 1e-6:
        return plain
    shares = plain.explained_variance_ratio.astype(np.float64)
    deviations = np.sqrt(np.maximum(shares, NO_VARIANCE * shares[0]))
    return replace(plain, whitening=whitening, scale=(deviations**-whitening).astype(np.float32))


def choose(figures: Sequence[Sequence[float]]) -> int:
    """The row to take: the greatest mAP (the first figure) of those that lose no figure by more than ``TOLERANCE``
    against the first row, and gain more than that of mAP; else the first row.

    >>> choose([(0.5, 0.9, 0.7), (0.6, 0.8, 0.8), (0.55, 0.9, 0.7), (0.504, 0.95, 0.7)])
    2
    """
    rows = np.nan_to_num(np.asarray(figures, np.float64))
    gains = rows - rows[0]
    is_safe = (gains >= -TOLERANCE).all(axis=1) & (gains[:, 0] > TOLERANCE)
    return int(np.where(is_safe, rows[:, 0], -1).argmax()) if is_safe.any() else 0


def report(measured: Sequence[Measured]) -> str:
    """The comparison as text, with the row to choose and what to type for it."""
    best = choose([each.figures for each in measured])
    rows = [
        {"": "*" if row == best else "", "search": each.way.name}
        | {name: f"{value:.4f}" for name, value in zip(FIGURES, each.figures, strict=True)}
        | {"options": each.way.options}
        for row, each in enumerate(measured)
    ]
    way = measured[best].way
    why = "no other way gains without losing elsewhere" if not best else f"it loses at most {TOLERANCE} of any figure"
    return f"{render_table(rows)}\nchoose {way.name} ({why}): {way.options}"


def metrics_of(measured: Sequence[Measured]) -> Iterator[tuple[str, int | None, float, float | None]]:
    """Rows of ``metrics``: ``compared_NAME_map`` and ``compared_NAME_precision_at_k``."""
    for each in measured:
        name = each.way.name.replace(" .25", "").replace(", ", "_").replace(" ", "_")
        for (metric, k), value in zip(METRIC_NAMES, each.figures, strict=True):
            if not np.isnan(value):
                yield f"{COMPARED}{name}_{metric}", k, value, None
