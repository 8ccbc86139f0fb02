"""One flat file of the map for explorers of embeddings: places, neighbours, thumbnails, metadata. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from imgsearch.report.album import records
from imgsearch.report.metadata import text_of
from imgsearch.terminal import is_missing
from imgsearch.topk.topk import top_k
from imgsearch.vectors import Matrix

NEIGHBOURS = 15
NEIGHBOURS_TYPE = pa.struct({"ids": pa.list_(pa.int64()), "distances": pa.list_(pa.float32())})
#: Columns of ``images`` that have a place of their own, or none.
OWN = ("image_id", "path", "label")


def atlas_table(
    points: pa.Table,
    vectors: Matrix,
    images: pd.DataFrame,
    names: Mapping[int, str],
    picture: Callable[[str], bytes | None],
) -> pa.Table:
    """A row a point of the map: ``image_id``, ``path``, ``x``, ``y``, ``neighbors``, ``thumbnail``, ``cluster_id``,
    ``cluster``, ``label``, and the other columns of ``images``.

    ``points``: image_id, x, y, cluster_id; ``vectors``: theirs, (n, dim), unit rows; ``images``: path, label, facts and
    metadata by image_id; ``names``: of clusters; ``picture``: the JPEG of an image. ``neighbors`` holds the nearest
    other points by their row in this table, and 1 - cosine.
    """
    ids = points.column("image_id").to_pylist()
    rows = {str(row["image_id"]): row for row in records(images)}
    about = [rows.get(image_id, {}) for image_id in ids]
    clusters = points.column("cluster_id").to_pylist()
    columns: dict[str, pa.Array] = {
        "image_id": pa.array(ids, pa.string()),
        "path": pa.array([row.get("path") for row in about], pa.string()),
        "x": points.column("x").cast(pa.float32()).combine_chunks(),
        "y": points.column("y").cast(pa.float32()).combine_chunks(),
        "neighbors": neighbours(vectors),
        "thumbnail": pa.array([picture(image_id) for image_id in ids], pa.binary()),
        "cluster_id": pa.array(clusters, pa.int32()),
        "cluster": pa.array([None if c is None else names.get(c, f"Cluster {c}") for c in clusters], pa.string()),
        "label": pa.array([row.get("label") for row in about], pa.string()),
    }
    taken = {name.casefold() for name in columns}
    for name in images.columns:
        if name not in OWN and name.casefold() not in taken:
            columns[name] = _column([row.get(name) for row in about])
    return pa.table(columns)


def neighbours(vectors: Matrix, n: int = NEIGHBOURS) -> pa.Array:
    """(n,) of ``NEIGHBOURS_TYPE``: the most similar other rows of ``vectors`` (unit rows), nearest first."""
    if not len(vectors):
        return pa.array([], NEIGHBOURS_TYPE)
    found, scores = top_k(vectors, vectors, min(n + 1, len(vectors)))
    values = []
    for row, (ids, cosines) in enumerate(zip(found, scores, strict=True)):
        others = (ids != row) & (ids >= 0)
        distances = np.clip(1 - cosines[others][:n], 0, 2)
        values.append({"ids": ids[others][:n].tolist(), "distances": distances.tolist()})
    return pa.array(values, NEIGHBOURS_TYPE)


def _column(values: list[object]) -> pa.Array:
    """Numbers as they are, everything else as text."""
    present = [value for value in values if not is_missing(value)]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pa.array([None if is_missing(value) else float(str(value)) for value in values], pa.float64())
    return pa.array([None if is_missing(value) else text_of(value) for value in values], pa.string())
