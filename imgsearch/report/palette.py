"""Colours and marker shapes for any number of clusters.

Eight colours are as many as people tell apart; each list below was searched for the greatest smallest distance
(OKLab, at least 0.12) between any two colours as seen with normal vision and with protanopia, deuteranopia and
tritanopia (Machado, Oliveira & Fernandes 2009, severity 1). Further clusters take the colours again in another shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LIGHT = ("#175296", "#f18601", "#1f8785", "#950b29", "#0099ff", "#361b64", "#c69db8", "#bb5d00")
DARK = ("#538ea9", "#ff8804", "#03c695", "#bd4046", "#a0f7ff", "#a247fb", "#cea6ff", "#f8f68b")
#: From low to high (viridis, without its darkest and lightest ends, so that it stands on both pages).
RAMP = ("#5a3d8c", "#3f6791", "#2a8a8d", "#2fae7d", "#7fcb4f", "#d8cf24")
LIGHT_PAGE = "#ffffff"
DARK_PAGE = "#16181c"
SHAPES = ("circle", "square", "triangle", "diamond")


class Mark(NamedTuple):
    """A colour and a shape, as places in ``LIGHT``/``DARK`` and in ``SHAPES``."""

    colour: int
    shape: int


def assign_marks(ids: Sequence[int], centres: Mapping[int, tuple[float, float]]) -> dict[int, Mark]:
    """A mark for each id, the first eight in eight colours, the next eight in the next shape, and so on.

    Within a round each colour is used once, by whichever cluster lies farthest from those that have the colour
    already, so neighbours on the map look different. ``centres`` may lack ids that are not on the map.
    """
    marks: dict[int, Mark] = {}
    placed: list[list[tuple[float, float]]] = [[] for _ in LIGHT]
    for order, cluster in enumerate(ids):
        turn, position = divmod(order, len(LIGHT))
        if position == 0:
            free = list(range(len(LIGHT)))
        centre = centres.get(cluster)
        colour = free[0] if centre is None else max(free, key=lambda c: (_nearest(centre, placed[c]), -c))
        free.remove(colour)
        if centre is not None:
            placed[colour].append(centre)
        marks[cluster] = Mark(colour, turn % len(SHAPES))
    return marks


def outline(shape: int, x: float, y: float, r: float) -> str:
    """SVG path data of a marker around (x, y) with the area of a circle of radius ``r``."""
    match SHAPES[shape]:
        case "circle":
            return f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0z"
        case "square":
            a = r * math.sqrt(math.pi) / 2
            return f"M{x - a:.1f} {y - a:.1f}h{2 * a:.1f}v{2 * a:.1f}h{-2 * a:.1f}z"
        case "triangle":
            a = r * 1.2
            return f"M{x:.1f} {y - a * 1.1:.1f}l{a:.1f} {a * 1.85:.1f}h{-2 * a:.1f}z"
        case _:
            a = r * math.sqrt(math.pi / 2)
            return f"M{x:.1f} {y - a:.1f}l{a:.1f} {a:.1f}l{-a:.1f} {a:.1f}l{-a:.1f} {-a:.1f}z"


def _nearest(point: tuple[float, float], others: Sequence[tuple[float, float]]) -> float:
    return min((math.dist(point, other) for other in others), default=math.inf)
