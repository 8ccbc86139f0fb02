"""How new images fit the clusters, run by run, as lines of a small drawing."""

from __future__ import annotations

from typing import NamedTuple

from imgsearch.report.album import Record, records
from imgsearch.report.curve import HEIGHT, MARGIN, WIDTH
from imgsearch.report.data import ReportData

MAX_RUNS = 60
LISTED = 12


class Step(NamedTuple):
    """One run of `cluster`: its place, and its row."""

    x: float
    y: float
    run: Record


class Drift(NamedTuple):
    """``line``: an SVG path of the mean cosine to the own centre, over the ``steps``; ``listed``: the last ones."""

    steps: list[Step]
    line: str
    least: float
    most: float
    listed: list[Record]


def draw(data: ReportData) -> Drift | None:
    """The last runs, oldest first, in a box of ``WIDTH`` x ``HEIGHT``; ``None`` under two."""
    runs = [row for row in records(data.drift) if row.get("mean_score") is not None]
    runs = sorted(runs, key=lambda row: str(row["measured_at"]))[-MAX_RUNS:]
    if len(runs) < 2:
        return None
    scores = [float(row["mean_score"]) for row in runs]
    least, most = min(scores), max(scores)
    steps = []
    for place, (row, score) in enumerate(zip(runs, scores, strict=True)):
        x = MARGIN + place / (len(runs) - 1) * (WIDTH - 2 * MARGIN)
        y = MARGIN + (most - score) / ((most - least) or 1.0) * (HEIGHT - 2 * MARGIN)
        steps.append(Step(round(x, 1), round(y, 1), row))
    line = "M" + "L".join(f"{step.x} {step.y}" for step in steps)
    return Drift(steps, line, least, most, runs[::-1][:LISTED])
