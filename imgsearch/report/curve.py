"""The curve that the number of clusters was picked from, as lines of a small drawing."""

from __future__ import annotations

import math
from typing import NamedTuple

from imgsearch.report.album import records
from imgsearch.report.data import ReportData

WIDTH, HEIGHT, MARGIN = 360, 120, 14


class Dot(NamedTuple):
    """One count that was tried: its place, the count, the criterion, and whether it was chosen."""

    x: float
    y: float
    n_clusters: int
    criterion: float
    chosen: bool


class Curve(NamedTuple):
    """``dots`` from few clusters to many, ``line`` an SVG path through them, ``chosen`` the count that was picked."""

    dots: list[Dot]
    line: str
    chosen: int | None


def draw(data: ReportData) -> Curve | None:
    """The curve in a box of ``WIDTH`` x ``HEIGHT``, counts on a logarithmic scale; ``None`` under two points."""
    rows = [
        (int(row["n_clusters"]), float(row["criterion"]), bool(row.get("chosen")))
        for row in records(data.curve)
        if row.get("n_clusters") and row.get("criterion") is not None and math.isfinite(row["criterion"])
    ]
    rows.sort()
    if len(rows) < 2:
        return None
    x = _scale([math.log(n) for n, _, _ in rows], MARGIN, WIDTH - MARGIN)
    y = _scale([-criterion for _, criterion, _ in rows], MARGIN, HEIGHT - MARGIN)
    dots = [Dot(left, top, *row) for left, top, row in zip(x, y, rows, strict=True)]
    line = "M" + "L".join(f"{dot.x:.1f} {dot.y:.1f}" for dot in dots)
    return Curve(dots, line, next((dot.n_clusters for dot in dots if dot.chosen), None))


def _scale(values: list[float], low: float, high: float) -> list[float]:
    least, most = min(values), max(values)
    span = (most - least) or 1.0
    return [round(low + (value - least) / span * (high - low), 1) for value in values]
