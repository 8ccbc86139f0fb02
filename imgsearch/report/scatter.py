"""The map of vectors as SVG geometry: markers by cluster, and names where they do not overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from imgsearch.report.palette import Mark, outline

WIDTH = 1000.0
MARGIN = 22.0
MAX_NAMES = 40


@dataclass(frozen=True)
class Point:
    """A picture's place on the map, in the map's own coordinates; ``cluster`` is ``None`` where it has none."""

    x: float
    y: float
    cluster: int | None
    picture: int


@dataclass(frozen=True)
class Layer:
    """All markers of one cluster as one SVG path."""

    cluster: int | None
    path: str


@dataclass(frozen=True)
class Name:
    """A cluster's name at its middle (in per cent, and in view-box units); ``order`` counts from 0."""

    cluster: int
    text: str
    left: float
    top: float
    order: int
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """A map ready to draw. ``points`` are in view-box units (0..width, 0..height)."""

    width: float
    height: float
    points: list[Point]
    layers: list[Layer]
    names: list[Name]


def centres(points: Sequence[Point]) -> dict[int, tuple[float, float]]:
    """Each cluster's middle: the median of its points in x and in y."""
    groups: dict[int, list[Point]] = {}
    for point in points:
        if point.cluster is not None:
            groups.setdefault(point.cluster, []).append(point)
    return {c: (median(p.x for p in group), median(p.y for p in group)) for c, group in groups.items()}


def fit(points: Sequence[Point]) -> tuple[list[Point], float]:
    """Points scaled into a box 1,000 wide, both axes alike, and the box's height (450 to 800)."""
    if not points:
        return [], 450.0
    left, right = min(p.x for p in points), max(p.x for p in points)
    low, high = min(p.y for p in points), max(p.y for p in points)
    across, up = max(right - left, 1e-9), max(high - low, 1e-9)
    height = min(max((WIDTH - 2 * MARGIN) * up / across + 2 * MARGIN, 450.0), 800.0)
    scale = min((WIDTH - 2 * MARGIN) / across, (height - 2 * MARGIN) / up)
    if right == left and high == low:
        scale = 0.0
    x0, y0 = (left + right) / 2, (low + high) / 2
    moved = [
        Point(WIDTH / 2 + (p.x - x0) * scale, height / 2 - (p.y - y0) * scale, p.cluster, p.picture) for p in points
    ]
    return moved, height


def draw(points: Sequence[Point], marks: Mapping[int, Mark], names: Mapping[int, str]) -> Scatter:
    """The map of ``points`` (any units, y upwards); ``marks`` and ``names`` are by cluster, most important first."""
    fitted, height = fit(points)
    radius = min(max(190 / math.sqrt(max(len(fitted), 1)), 3.2), 6.5)
    groups: dict[int | None, list[Point]] = {}
    for point in fitted:
        groups.setdefault(point.cluster if point.cluster in marks else None, []).append(point)
    layers = []
    for cluster in sorted(groups, key=lambda c: (c is not None, c or 0)):
        shape = marks[cluster].shape if cluster is not None else 0
        layers.append(Layer(cluster, "".join(outline(shape, p.x, p.y, radius) for p in groups[cluster])))
    return Scatter(WIDTH, height, fitted, layers, _names(centres(fitted), names, height))


def _names(middles: Mapping[int, tuple[float, float]], names: Mapping[int, str], height: float) -> list[Name]:
    """Names from the most important on, leaving out those that would cover one already there."""
    placed: list[Name] = []
    taken: list[tuple[float, float, float]] = []
    for cluster, text in names.items():
        if cluster not in middles or len(placed) == MAX_NAMES:
            continue
        x, y = middles[cluster]
        half = 4.0 + 3.6 * len(text)
        x = min(max(x, half + 4), WIDTH - half - 4)
        if all(abs(x - ox) > half + ohalf or abs(y - oy) > 20 for ox, oy, ohalf in taken):
            taken.append((x, y, half))
            placed.append(Name(cluster, text, 100 * x / WIDTH, 100 * y / height, len(placed), x, y))
    return placed
