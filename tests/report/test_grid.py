"""The grid of matches in a notebook: order, pictures, and names that try to be markup."""

from __future__ import annotations

import re

from imgsearch.images.boxes import Box
from imgsearch.report.grid import grid_of


def match(query: str, rank: int, path: str) -> dict[str, object]:
    return {"query_id": query, "query_path": f"/q/{query}.jpg", "rank": rank, "path": path, "score": 1 - rank / 10}


def test_one_row_a_query_best_first() -> None:
    grid = grid_of([match("b", 1, "/g/3.jpg"), match("a", 2, "/g/2.jpg"), match("a", 1, "/g/1.jpg")], {})
    assert [[cell.path for cell in row] for row in grid.rows] == [
        ["/q/a.jpg", "/g/1.jpg", "/g/2.jpg"],
        ["/q/b.jpg", "/g/3.jpg"],
    ]
    assert grid.rows[0][1].caption == "1: 0.900"
    assert repr(grid) == "Grid of 2 queries"


def test_pictures_are_inline_and_names_are_escaped() -> None:
    path = '/g/"><script>alert(1)</script>.jpg'
    page = grid_of([match("a", 1, path)], {path: b"\xff\xd8"}, note="<b>10 of 20</b>")._repr_html_()
    assert "<script" not in page
    assert "data:image/jpeg;base64,/9g=" in page
    assert page.count("(no picture)") == 1
    assert "&lt;b&gt;10 of 20" in page


def test_a_long_name_stays_in_its_cell() -> None:
    page = grid_of([match("a", 1, "/g/" + "a" * 200 + ".jpg")], {})._repr_html_()
    shown = re.findall(r">([^<]*)</span>", page)
    assert max(map(len, shown)) <= 48
    assert "white-space:normal" in page  # the row itself does not wrap, and cells would inherit that
    assert f'title="/g/{"a" * 200}.jpg"' in page


def test_a_name_that_would_turn_the_line_round_is_spelt_out() -> None:
    page = grid_of([match("a", 1, "/g/photo\u202egpj.exe")], {})._repr_html_()
    assert "\u202e" not in page
    assert "photo\\u202egpj.exe" in page


def test_the_part_that_matched_and_the_part_that_was_asked_with_are_drawn() -> None:
    whole = {"region_x": None, "region_y": None, "region_w": None, "region_h": None}
    part = {"region_x": 0.5, "region_y": 0.25, "region_w": 0.5, "region_h": 0.5}
    query = "0" * 64 + "#0.1,0.2,0.3,0.4"
    rows = [match(query, 1, "/g/1.jpg") | part, match(query, 2, "/g/2.jpg") | whole, match(query, 3, "/g/3.jpg")]
    grid = grid_of(rows, {f"/g/{i}.jpg": b"\xff\xd8" for i in (1, 2, 3)} | {f"/q/{query}.jpg": b"\xff\xd8"})
    assert [cell.box for cell in grid.rows[0]] == [Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.25, 0.5, 0.5), None, None]
    page = grid._repr_html_()
    assert page.count("border:2px solid") == 2
    assert "left:50%;top:25%;width:50%;height:50%" in page
