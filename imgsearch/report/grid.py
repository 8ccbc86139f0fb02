"""Matches as a grid of thumbnails: one row a query, best match first. Plain HTML for a notebook."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from imgsearch.report.text import basename
from imgsearch.terminal import shorten, visible

CELL = (
    "display:inline-block;width:140px;margin:4px;vertical-align:top;font:11px sans-serif;"
    "white-space:normal;overflow-wrap:anywhere"  # a row does not wrap, the names in it do
)
PICTURE = "display:block;max-width:140px;max-height:120px;margin-bottom:2px"

EMPTY = f"{PICTURE};height:100px;line-height:100px;text-align:center;border:1px dashed #999;color:#666"


class Cell(NamedTuple):
    """One picture: ``path`` (its name stands below it), ``caption``, and ``thumbnail`` (JPEG bytes, or ``None``)."""

    path: str
    caption: str
    thumbnail: bytes | None


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
    """``matches``: rows with ``query_id``, ``query_path``, ``rank``, ``path``, ``score``. ``thumbnails``: by path."""
    queries: dict[str, list[Mapping[str, Any]]] = {}
    for match in sorted(matches, key=lambda m: (str(m["query_path"]), str(m["query_id"]), m["rank"])):
        queries.setdefault(match["query_id"], []).append(match)
    rows = []
    for query_id, hits in queries.items():
        path = str(hits[0]["query_path"] or query_id)
        row = [Cell(path, "query", thumbnails.get(path))]
        row += [Cell(str(m["path"]), f"{m['rank']}: {m['score']:.3f}", thumbnails.get(str(m["path"]))) for m in hits]
        rows.append(row)
    return Grid(rows, note)


def _cell(cell: Cell) -> Markup:
    if cell.thumbnail is None:
        picture = Markup('<span style="{}">(no picture)</span>').format(EMPTY)
    else:
        data = base64.b64encode(cell.thumbnail).decode("ascii")
        picture = Markup('<img style="{}" alt="" src="data:image/jpeg;base64,{}">').format(PICTURE, data)
    name = shorten(visible(basename(cell.path)))
    words = Markup('<b>{}</b><br><span title="{}">{}</span>').format(cell.caption, visible(cell.path), name)
    return Markup('<span style="{}">{}{}</span>').format(CELL, picture, words)
