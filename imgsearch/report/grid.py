"""Matches as a grid of thumbnails: one row a query, best match first. Plain HTML for a notebook."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from imgsearch.images.boxes import Box
from imgsearch.report.match_boxes import box_of_match, box_of_query, place_of
from imgsearch.report.text import basename
from imgsearch.terminal import shorten, visible

CELL = (
    "display:inline-block;width:140px;margin:4px;vertical-align:top;font:11px sans-serif;"
    "white-space:normal;overflow-wrap:anywhere"  # a row does not wrap, the names in it do
)
PICTURE = "display:block;max-width:140px;max-height:120px"
EMPTY = f"{PICTURE};height:100px;line-height:100px;text-align:center;border:1px dashed #999;color:#666"


FRAME = "position:relative;display:inline-block"
BOX = "position:absolute;box-sizing:border-box;border:2px solid #e4572e;box-shadow:0 0 0 1px #fff;pointer-events:none"


class Cell(NamedTuple):
    """One picture: ``path`` (its name stands below it), ``caption``, ``thumbnail`` (JPEG bytes, or ``None``), and the
    part of it that is drawn, if one is."""

    path: str
    caption: str
    thumbnail: bytes | None
    box: Box | None = None


class Grid:
    """Rows of cells that a notebook shows; every name is escaped."""

    def __init__(self, rows: Sequence[Sequence[Cell]], note: str = "") -> None:
        self.rows = rows
        self.note = note

    def _repr_html_(self) -> str:
        lines = [f'<div style="white-space:nowrap">{"".join(map(_cell, row))}</div>' for row in self.rows]
        return f"<div>{''.join(lines)}<p>{escape(self.note)}</p></div>"

    def __repr__(self) -> str:
        return f"Grid of {len(self.rows)} queries{': ' if self.note else ''}{self.note}"


def grid_of(matches: Sequence[Mapping[str, Any]], thumbnails: Mapping[str, bytes | None], note: str = "") -> Grid:
    """``matches``: rows with ``query_id``, ``query_path``, ``rank``, ``path``, ``score``. ``thumbnails``: by path.

    The part that a query asked with, and that of an image that matched it, are drawn on their pictures.
    """
    queries: dict[str, list[Mapping[str, Any]]] = {}
    for match in sorted(matches, key=lambda m: (str(m["query_path"]), str(m["query_id"]), m["rank"])):
        queries.setdefault(match["query_id"], []).append(match)
    rows = []
    for query_id, hits in queries.items():
        path = str(hits[0]["query_path"] or query_id)
        row = [Cell(path, "query", thumbnails.get(path), box_of_query(query_id))]
        for m in hits:
            caption = f"{m['rank']}: {m['score']:.3f}"
            row.append(Cell(str(m["path"]), caption, thumbnails.get(str(m["path"])), box_of_match(m)))
        rows.append(row)
    return Grid(rows, note)


def _cell(cell: Cell) -> Markup:
    if cell.thumbnail is None:
        picture = Markup('<span style="{}">(no picture)</span>').format(EMPTY)
    else:
        data = base64.b64encode(cell.thumbnail).decode("ascii")
        picture = Markup('<img style="{}" alt="" src="data:image/jpeg;base64,{}">').format(PICTURE, data)
        if cell.box is not None:
            drawn = Markup('<span style="{};{}"></span>').format(BOX, place_of(cell.box))
            picture = Markup('<span style="{}">{}{}</span>').format(FRAME, picture, drawn)
    name = shorten(visible(basename(cell.path)))
    words = Markup('<b>{}</b><br><span title="{}">{}</span>').format(cell.caption, visible(cell.path), name)
    return Markup('<span style="{}">{}{}</span>').format(CELL, picture, words)
