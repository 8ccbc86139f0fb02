"""How many labels can be had at what expected accuracy, the surest first, as lines of a small drawing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imgsearch.report.curve import HEIGHT, MARGIN, WIDTH
from imgsearch.report.data import ReportData
from imgsearch.tables import CONFIDENCE_METRICS

#: Coverages that are marked and said in words.
MARKS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


class Mark(NamedTuple):
    """``coverage`` of the images that nobody named, the ``accuracy`` to expect of their labels, and its place."""

    coverage: float
    accuracy: float
    x: float
    y: float


class Trust(NamedTuple):
    """``line``: an SVG path; ``marks`` on it, up to the ``coverage`` of all labels; ``least``: accuracy at the bottom.

    ``ece``: the expected calibration error of the confidence, ``None`` where it was not measured.
    """

    line: str
    marks: list[Mark]
    coverage: float
    least: float
    ece: float | None


def draw(data: ReportData) -> Trust | None:
    """The curve in a box of ``WIDTH`` x ``HEIGHT``; ``None`` where no name was spread."""
    frame = data.doubt
    if frame.empty or not frame["images"].sum() or frame["confidence"].notna().sum() == 0:
        return None
    labelled = frame[frame["confidence"].notna()].sort_values("confidence", ascending=False)
    confidence, images = labelled["confidence"].to_numpy(np.float64), labelled["images"].to_numpy(np.float64)
    coverage = np.cumsum(images) / frame["images"].sum()
    accuracy = np.cumsum(confidence * images) / np.cumsum(images)
    least = float(np.floor(accuracy.min() * 10) / 10)

    def place(share: float, value: float) -> tuple[float, float]:
        x = MARGIN + share * (WIDTH - 2 * MARGIN)
        return round(x, 1), round(MARGIN + (1 - value) / max(1 - least, 0.1) * (HEIGHT - 2 * MARGIN), 1)

    points = [place(0, accuracy[0]), *(place(c, a) for c, a in zip(coverage, accuracy, strict=True))]
    whole = float(coverage[-1])
    levels = [*(m for m in MARKS if m < whole - 0.02), whole]
    values = np.interp(levels, coverage, accuracy)
    marks = [Mark(c, float(a), *place(c, float(a))) for c, a in zip(levels, values, strict=True)]
    line = "M" + "L".join(f"{x} {y}" for x, y in points)
    return Trust(line, marks, whole, least, _ece(data))


def _ece(data: ReportData) -> float | None:
    if data.metrics.empty:
        return None
    values = data.metrics.loc[data.metrics["metric"] == f"{CONFIDENCE_METRICS}ece", "value"]
    return float(values.iloc[0]) if len(values) else None
