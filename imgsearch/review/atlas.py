"""The map of a warehouse: read from the table ``map_points``, or made once in the background and kept there."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review.answers import Answers, Json
from imgsearch.review.collection import NO_CLUSTER, Collection, carried_columns
from imgsearch.review.layout import Layout, arrange, place, shown_rows
from imgsearch.tables import MAP_POINTS

SHOWN = 20_000
COLOURS = 12


class Atlas:
    """Places of all images. ``layout`` is ``None`` until they are there; ``start`` sees to it."""

    def __init__(self, warehouse: DeltaFolder, collection: Collection) -> None:
        self._warehouse, self._collection = warehouse, collection
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.layout: Layout | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Make the map beside whatever else is going on; at once where it is there."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether the map is there, or cannot be had, within so many seconds."""
        self.start()
        if self._thread is not None:
            self._thread.join(seconds)
        return self.layout is not None or self.problem is not None

    def _run(self) -> None:
        try:
            self.layout = self._read() or self._made()
        except Exception as e:  # told on the page: the other pages do not need it
            self.problem = f"the map could not be made ({type(e).__name__}: {' '.join(str(e).split())[:200]})"

    def _made(self) -> Layout:
        layout = arrange(self._collection.vectors)
        self._keep(np.arange(len(layout.xy)), layout)
        return layout

    def _read(self) -> Layout | None:
        """The places in the table; images that it lacks are placed among its anchors, and kept."""
        where = pc.field("projection_id") == self._collection.projection.projection_id
        rows = self._warehouse.read_or_empty(MAP_POINTS, ["image_id", "x", "y", "is_anchor"], where)
        at = pc.fill_null(pc.index_in(rows["image_id"], value_set=self._collection.image_ids), -1).to_numpy()
        present, stored = at[at >= 0], rows.filter(pa.array(at >= 0))
        anchored = stored["is_anchor"].to_numpy()
        if not anchored.any():
            return None
        n = len(self._collection.image_ids)
        xy, is_anchor, lacking = np.zeros((n, 2), np.float32), np.zeros(n, bool), np.ones(n, bool)
        xy[present] = np.stack([stored["x"].to_numpy(), stored["y"].to_numpy()], axis=1)
        is_anchor[present], lacking[present] = anchored, False
        vectors = self._collection.vectors
        if lacking.any():
            xy[lacking] = place(vectors[lacking], vectors[is_anchor], xy[is_anchor])
            self._keep(np.flatnonzero(lacking), Layout(xy, is_anchor))
        return Layout(xy, is_anchor)

    def _keep(self, rows: np.ndarray, layout: Layout) -> None:
        columns = {
            "image_id": self._collection.image_ids.take(pa.array(rows)),
            "projection_id": pa.array([self._collection.projection.projection_id] * len(rows), pa.string()),
            "x": pa.array(layout.xy[rows, 0]),
            "y": pa.array(layout.xy[rows, 1]),
            "is_anchor": pa.array(layout.is_anchor[rows]),
        }
        self._warehouse.append(MAP_POINTS, pa.table(columns))


def points(answers: Answers, atlas: Atlas) -> Json:
    """The map as it is drawn: at most ``SHOWN`` images, x and y in 0..1; or that it is being made."""
    if not atlas.wait(0.2):
        return {"ready": False}
    if atlas.layout is None:
        return {"ready": False, "problem": atlas.problem}
    collection, rows = answers.collection, shown_rows(len(answers.collection.image_ids), SHOWN)
    xy = atlas.layout.xy[rows]
    low, size = xy.min(axis=0, initial=np.inf), float(np.ptp(xy, axis=0).max(initial=0)) or 1.0
    unit = np.round((xy - low) / size, 5)
    return {
        "ready": True,
        "n": len(collection.image_ids),
        "ids": collection.image_ids.take(pa.array(rows)).to_pylist(),
        "x": unit[:, 0].tolist(),
        "y": unit[:, 1].tolist(),
        "columns": ["label", "cluster", *collection.facets],
    }


def colours(answers: Answers, by: str) -> Json | None:
    """The commonest values of a column on the map, and for each drawn image its value's position; the last: others.

    ``by``: ``label``, ``cluster`` or a carried column; ``None`` for another.
    """
    rows = shown_rows(len(answers.collection.image_ids), SHOWN)
    values = _values(answers, by, rows.tolist())
    if values is None:
        return None
    counts = Counter(value for value in values if value is not None)
    common = [value for value, _ in counts.most_common(COLOURS)]
    code = {value: i for i, value in enumerate(common)}
    return {
        "values": [{"value": value, "n": counts[value]} for value in common],
        "codes": [code.get(value, len(common)) for value in values],
    }


def _values(answers: Answers, by: str, rows: list[int]) -> list[Any] | None:
    collection = answers.collection
    if by == "label":
        return [answers.label_of(row) for row in rows]
    if by == "cluster":
        positions = collection.cluster_rows[rows].tolist()
        return [None if p == NO_CLUSTER else answers.label_or_number(p) for p in positions]
    if by not in carried_columns(collection.images):
        return None
    column = collection.images[by].take(pa.array(rows, pa.int64())).to_pylist()
    return [None if value is None else str(value) for value in column]
