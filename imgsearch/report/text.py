"""Numbers and names as people read them: thousands, bytes, durations, and file names that may be hostile."""

from __future__ import annotations

import math
from datetime import datetime

from imgsearch import terminal
from imgsearch.terminal import NOTHING, is_missing, visible


def basename(path: str) -> str:
    """The last element of a path or URI, or the whole where there is none.

    >>> basename("s3://lake/photos/a.jpg"), basename("row-17")
    ('a.jpg', 'row-17')
    """
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def count(value: object) -> str:
    """A whole number with thousands marked; ``–`` where missing.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    if is_missing(value):
        return NOTHING
    number = float(value)  # type: ignore[arg-type]
    return f"{round(number):,}" if math.isfinite(number) else str(number)


def decimal(value: object, places: int = 3) -> str:
    """A fixed number of places; ``–`` where missing.

    >>> decimal(0.51239)
    '0.512'
    """
    return NOTHING if is_missing(value) else f"{float(value):,.{places}f}"  # type: ignore[arg-type]


def n_bytes(value: object) -> str:
    """File sizes in decimal units, as disks are sold.

    >>> n_bytes(512), n_bytes(48_200), n_bytes(2_500_000_000)
    ('512 B', '48.2 kB', '2.5 GB')
    """
    if is_missing(value):
        return NOTHING
    size = float(value)  # type: ignore[arg-type]
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.95 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def duration(seconds: object) -> str:
    """As ``terminal.duration``, and a dash for what is not there."""
    return NOTHING if is_missing(seconds) else terminal.duration(float(seconds))  # type: ignore[arg-type]


def moment(value: object) -> str:
    """A date and time to the minute; anything that is not a datetime is shown as it is.

    >>> moment(datetime(2026, 1, 2, 3, 4, 5))
    '2026-01-02 03:04'
    """
    if is_missing(value):
        return NOTHING
    return value.strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else visible(value)
