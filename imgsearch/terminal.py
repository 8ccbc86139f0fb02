"""Text for the terminal: an aligned table, durations, characters that cannot be shown."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

MAX_WIDTH = 60


def render_table(rows: list[dict[str, Any]] | pd.DataFrame, columns: Sequence[str] | None = None) -> str:
    """Rows as aligned text: headings, a rule, one line a row; numbers to the right, text to the left.

    ``columns`` names and orders what is shown (all of them where ``None``; a key that a row lacks shows as ``–``).
    Whole numbers have thousands marked, floats four significant figures, cells are cut in the middle at 60
    characters, control characters are spelt out. Widths count East Asian wide characters as two. No final newline.

    >>> print(render_table([{"job": "embed", "rows": 12345}, {"job": "cluster", "rows": 7}], ["job", "rows"]))
    job        rows
    -------  ------
    embed    12,345
    cluster       7
    """
    if isinstance(rows, pd.DataFrame):
        columns = list(rows.columns) if columns is None else columns
        rows = [dict(zip(rows.columns, values, strict=True)) for values in rows.itertuples(index=False, name=None)]
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return ""
    drawn = [_column(name, [row.get(name) for row in rows]) for name in columns]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*drawn, strict=True))


def _column(name: str, values: list[Any]) -> list[str]:
    """Heading, rule and cells of one column, padded to one width."""
    cells = [visible(name), *(_cell(value) for value in values)]
    width = max(_width(cell) for cell in cells)
    present = [value for value in values if not is_missing(value)]
    right = bool(present) and all(_is_number(value) for value in present)
    padded = [" " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell)) for cell in cells]
    return [padded[0], "-" * width, *padded[1:]]


def _is_number(value: object) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, (bool, str))


def _cell(value: Any) -> str:
    if is_missing(value):
        return NOTHING
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if _is_number(value):
        number = float(value)
        if hasattr(value, "__index__"):
            return f"{int(value):,}"
        if number.is_integer() and abs(number) >= 1000:
            return f"{number:,.0f}"
        return f"{number:,.1f}" if abs(number) >= 1000 else f"{number:.4g}"
    return shorten(visible(value), MAX_WIDTH)


def _width(text: str) -> int:
    """Columns that ``text`` takes in a terminal."""
    return sum(0 if unicodedata.combining(ch) else 2 if unicodedata.east_asian_width(ch) in "WF" else 1 for ch in text)


NOTHING = "–"


def visible(text: object) -> str:
    r"""``text`` with every control, bidirectional, surrogate, line-separating and unassigned character as an escape.

    A file name may carry terminal escapes, a right-to-left override that turns ``gpj.exe`` round, or bytes that
    were never UTF-8 (lone surrogates, which cannot even be written to a file). Whatever is shown goes through here.

    >>> visible("a\x1b[31m\u202egpj.exe")
    'a\\x1b[31m\\u202egpj.exe'
    """
    return "".join(
        ch.encode("unicode_escape", "surrogatepass").decode("ascii") if _is_hidden(unicodedata.category(ch)) else ch
        for ch in str(text)
    )


def _is_hidden(category: str) -> bool:
    return category[0] == "C" or category in ("Zl", "Zp")


def shorten(text: str, width: int = 48) -> str:
    """``text`` cut in its middle, so that beginning and ending both stay.

    >>> shorten("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= width:
        return text
    head = (width - 1 + 1) // 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def is_missing(value: object) -> bool:
    """True for ``None``, NaN and pandas' ``NaT``/``NA``."""
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def duration(seconds: float) -> str:
    """Seconds as ``0.4 s``, ``12 s``, ``3 min 05 s`` or ``2 h 07 min``.

    >>> duration(0.42), duration(59.7), duration(7620)
    ('0.4 s', '1 min 00 s', '2 h 07 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"
