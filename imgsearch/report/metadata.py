"""What is carried with an image: which columns, which of them say where and when, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from imgsearch.terminal import is_missing, visible

#: Columns of ``ReportData.images`` that are not carried.
OWN = frozenset(
    [
        "image_id",
        "path",
        "source",
        "format",
        "width",
        "height",
        "n_pages",
        "n_bytes",
        "folder",
        "label",
        "sharpness",
        "brightness",
        "cluster_id",
    ]
)
SITE_WORDS = ("site", "plant", "location", "station", "camera", "folder", "source_folder")
DATE_WORDS = ("date", "taken", "captured", "visit", "time")


def carried(columns: Iterable[str]) -> list[str]:
    """The columns of a page's images that came with the input."""
    return [name for name in columns if name not in OWN]


def column_named(columns: Iterable[str], words: Iterable[str]) -> str | None:
    """The first column whose name holds one of ``words``; the words in order.

    >>> column_named(["line", "visit_date", "Site"], SITE_WORDS), column_named(["line"], SITE_WORDS)
    ('Site', None)
    """
    names = list(columns)
    return next((name for word in words for name in names if word in name.lower()), None)


def text_of(value: Any) -> str:
    """A carried value as text: a date without a time that is midnight, a number without needless digits."""
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).replace("T00:00:00", "").replace("T", " ")
    return f"{value:.6g}" if isinstance(value, float) else visible(value)


def pairs(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """``site=A · line=3``: what the filter finds; columns without a value are left out."""
    found = (f"{visible(name)}={text_of(row[name])}" for name in columns if not is_missing(row.get(name)))
    return " · ".join(found)


def values(row: Mapping[str, Any], columns: Iterable[str | None]) -> str:
    """``A · 2024-05``: the values alone, each once."""
    found = (text_of(row[name]) for name in columns if name is not None and not is_missing(row.get(name)))
    return " · ".join(dict.fromkeys(found))
