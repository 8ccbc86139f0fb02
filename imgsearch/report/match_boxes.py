"""The part of a picture that a match is about, as a box to draw on its thumbnail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from imgsearch.images.boxes import Box
from imgsearch.tables import BOX
from imgsearch.terminal import is_missing


def box_of_match(match: Mapping[str, Any]) -> Box | None:
    """The part of the image that has the score; ``None`` where the whole image has it.

    >>> box_of_match({"score": 0.5, "region_x": 0.5, "region_y": 0.0, "region_w": 0.5, "region_h": 0.5})
    Box(x=0.5, y=0.0, width=0.5, height=0.5)
    """
    values = [match.get(name) for name in BOX]
    return None if any(map(is_missing, values)) else _inside(Box(*map(float, values)))  # type: ignore[arg-type]


def box_of_query(query_id: str) -> Box | None:
    """The part of a picture that a query asked with: it ends the id of such a query.

    >>> box_of_query("ab12#0.5,0,0.25,1"), box_of_query("ab12"), box_of_query("row#1")
    (Box(x=0.5, y=0.0, width=0.25, height=1.0), None, None)
    """
    numbers = str(query_id).rpartition("#")[2].split(",")
    try:
        return _inside(Box(*map(float, numbers))) if len(numbers) == len(BOX) else None
    except ValueError:
        return None


class Drawing(NamedTuple):
    """A box as SVG over a thumbnail that fills its tile: ``view``, how that is fitted, and the rectangle in it."""

    view: str
    fit: str
    x: float
    y: float
    width: float
    height: float


def drawing(box: Box | None, width: int, height: int) -> Drawing | None:
    """``box`` on a picture of ``width`` x ``height`` pixels, or of a shape that is not known (0).

    >>> drawing(Box(0.5, 0, 0.5, 1), 640, 480)
    Drawing(view='0 0 640 480', fit='xMidYMid slice', x=320.0, y=0, width=320.0, height=480)
    """
    if box is None:
        return None
    fit = "xMidYMid slice" if width and height else "none"  # as object-fit: cover
    across, down = (width, height) if width and height else (100, 100)
    return Drawing(
        f"0 0 {across} {down}", fit, box.x * across, box.y * down, box.width * across, box.height * down
    )  # fmt: skip


def _inside(box: Box) -> Box | None:
    return box if box.lies_inside else None


def place_of(box: Box) -> str:
    """Where a box stands on its picture, as CSS.

    >>> place_of(Box(0.5, 0, 0.25, 1))
    'left:50%;top:0%;width:25%;height:100%'
    """
    names = ("left", "top", "width", "height")
    return ";".join(f"{name}:{100 * value:.4g}%" for name, value in zip(names, box, strict=True))
