"""Aligned text, whatever is in it."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.terminal import render_table


def test_numbers_right_text_left_missing_as_dash() -> None:
    rows = [
        {"metric": "purity", "k": None, "value": 0.83},
        {"metric": "precision_at_k", "k": 10, "value": 0.69812},
    ]
    assert render_table(rows, ["metric", "k", "value"]).splitlines() == [
        "metric           k   value",
        "--------------  --  ------",
        "purity           –    0.83",
        "precision_at_k  10  0.6981",
    ]


def test_a_frame_reads_like_its_rows() -> None:
    rows = [
        {"job": "embed", "rows_in": 2_485_000, "seconds": 41.25},
        {"job": "cluster", "rows_in": 7, "seconds": 1234.5},
    ]
    assert render_table(pd.DataFrame(rows), list(rows[0])) == render_table(rows, list(rows[0]))
    assert "2,485,000" in render_table(rows)


def test_columns_choose_and_order_and_may_be_missing() -> None:
    lines = render_table([{"a": 1, "b": 2}], ["b", "c"]).splitlines()
    assert lines == ["b  c", "-  -", "2  –"]


def test_no_rows_leave_headings() -> None:
    assert render_table([], ["job", "rows"]) == "job  rows\n---  ----"
    assert render_table([]) == ""
    assert render_table(pd.DataFrame()) == ""


def test_terminal_escapes_and_line_breaks_are_spelt_out() -> None:
    text = render_table([{"path": "a\x1b[2J\nb\u202e\u2028"}], ["path"])
    assert text.splitlines()[-1] == r"a\x1b[2J\nb\u202e\u2028"


def test_wide_characters_take_two_columns() -> None:
    lines = render_table([{"name": "写真", "n": 1}, {"name": "abcd", "n": 2}], ["name", "n"]).splitlines()
    assert lines[2:] == ["写真  1", "abcd  2"]


def test_dates_and_booleans() -> None:
    assert "2026-01-02 03:04:05" in render_table([{"at": datetime(2026, 1, 2, 3, 4, 5)}])
    assert render_table([{"ok": True}]).splitlines()[-1] == "True"


@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.floats() | st.none() | st.integers()}), max_size=6))
def test_one_line_a_row(rows: list[dict[str, object]]) -> None:
    assert len(render_table(rows, ["a", "b"]).splitlines()) == 2 + len(rows)
