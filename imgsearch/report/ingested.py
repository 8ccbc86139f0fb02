"""The collection in bars: what came in, by format, folder and size; what was refused, by reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from imgsearch.report.album import Record, records
from imgsearch.report.data import REFUSED_EXAMPLES, ReportData
from imgsearch.report.text import basename, count
from imgsearch.terminal import shorten, visible

MAX_BARS = 12


@dataclass(frozen=True)
class Bar:
    """One line of a bar list; ``share`` is of the longest bar, 0..1, ``hint`` the whole name."""

    name: str
    n: str
    share: float
    hint: str = ""


def by_format(data: ReportData) -> list[Bar]:
    """Images by file format, most first."""
    rows = records(data.formats) if data.formats is not None else _tally(r.get("format") for r in records(data.images))
    return _bars([(str(r.get("format", r.get("key")) or "unknown"), int(r["n"])) for r in rows])


def by_folder(data: ReportData) -> list[Bar]:
    """Images by folder (or, in order, by source, or by the folder in their path), most first; the last bar is the rest.

    The rest counts every folder, also those that ``data.folders`` leaves out.
    """
    counted, start = _folders(data)
    bars = _bars(counted, start)
    n_folders = max(data.n_folders_total or 0, len(counted))
    if n_folders <= MAX_BARS:
        return bars
    shown = sum(n for _, n in counted[:MAX_BARS])
    n_images = sum(n for _, n in counted)
    if data.folders is not None and data.n_images_total is not None:
        n_images = max(n_images, data.n_images_total)
    return [*bars[:MAX_BARS], Bar(f"{n_folders - MAX_BARS:,} more", count(n_images - shown), 0.0)]


def further_folders(data: ReportData) -> list[Bar]:
    """The folders that ``by_folder`` counts as the rest, as far as they came with the data."""
    counted, start = _folders(data)
    longest = max((n for _, n in counted), default=1) or 1
    return [_bar(name, n, longest, start) for name, n in counted[MAX_BARS:]]


def _folders(data: ReportData) -> tuple[list[tuple[str, int]], int]:
    """Folders with their images, most first, and how many characters all names begin with."""
    if data.folders is not None:
        counted = [(str(r.get("folder")), int(r["n"])) for r in records(data.folders)]
    else:
        counted = [(str(r["key"]), int(r["n"])) for r in _tally(_folder(r) for r in records(data.images))]
    counted.sort(key=lambda pair: (-pair[1], pair[0]))
    return counted, _shared_start([name for name, _ in counted])


def by_size(data: ReportData) -> list[Bar]:
    """Images by the length of their longer side in pixels, in doublings, small to large."""
    if data.sizes is not None:
        counts = Counter({int(r["longer_side"]): int(r["n"]) for r in records(data.sizes) if r["longer_side"]})
    else:
        sides = (max(r.get("width") or 0, r.get("height") or 0) for r in records(data.images))
        counts = Counter(2 ** int(math.log2(side)) for side in sides if side >= 1)
    if not counts:
        return []
    longest = max(counts.values())
    low, high = min(counts), max(counts)
    steps = [low * 2**i for i in range(round(math.log2(high / low)) + 1)]
    return [Bar(f"{step:,}–{2 * step - 1:,}", count(counts[step]), counts[step] / longest) for step in steps]


def refused_by_reason(data: ReportData) -> list[Record]:
    """Rows of reason, stage, n and share of all refused, most first."""
    if data.reasons is not None:
        rows = [(str(r.get("reason")), str(r.get("stage")), int(r["n"])) for r in records(data.reasons)]
    else:
        pairs = Counter((str(r.get("reason")), str(r.get("stage"))) for r in records(data.quarantine))
        rows = [(reason, stage, n) for (reason, stage), n in pairs.items()]
    longest = max((n for *_, n in rows), default=1)
    rows.sort(key=lambda row: (-row[2], row[0], row[1]))
    return [
        {"reason": visible(reason), "stage": visible(stage), "n": count(n), "share": n / longest}
        for reason, stage, n in rows
    ]


def refused_examples(data: ReportData) -> list[Record]:
    """At most 40 refused images, taken from every reason in turn so that rare reasons are seen too."""
    groups: dict[str, list[Record]] = {}
    for row in records(data.quarantine):
        groups.setdefault(str(row.get("reason")), []).append(row)
    turns: list[tuple[int, str, Record]] = []
    for reason, group in groups.items():
        group.sort(key=lambda r: str(r.get("path")))
        turns.extend((turn, reason, row) for turn, row in enumerate(group))
    turns.sort(key=lambda t: (t[0], t[1]))
    chosen = sorted(turns[:REFUSED_EXAMPLES], key=lambda t: (t[1], t[0]))
    return [
        {
            "name": visible(basename(str(row.get("path") or "–"))),
            "path": visible(row.get("path") or "–"),
            "stage": visible(row.get("stage") or "–"),
            "reason": visible(reason),
            "detail": visible(row.get("detail") or ""),
        }
        for _, reason, row in chosen
    ]


def _folder(row: Record) -> str:
    return str(row.get("folder") or str(row.get("path") or "").rpartition("/")[0] or row.get("source") or "–")


def _shared_start(folders: list[str]) -> int:
    """How many characters all folders begin with, up to and with a slash; 0 for a single folder."""
    if len(folders) < 2:
        return 0
    first, last = min(folders), max(folders)  # what these two share, all between them share
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:same].rfind("/") + 1


def _tally(values: Iterable[object]) -> list[Record]:
    return [{"key": key, "n": n} for key, n in Counter(values).items()]


def _bars(counted: list[tuple[str, int]], start: int = 0) -> list[Bar]:
    """The longest bars, names without their first ``start`` characters; the rest as one bar."""
    counted = sorted(counted, key=lambda pair: (-pair[1], pair[0]))
    top, rest = counted[:MAX_BARS], counted[MAX_BARS:]
    longest = max((n for _, n in top), default=1) or 1
    bars = [_bar(name, n, longest, start) for name, n in top]
    if rest:
        n = sum(n for _, n in rest)
        bars.append(Bar(f"{len(rest):,} more", count(n), 0.0))
    return bars


def _bar(name: str, n: int, longest: int, start: int) -> Bar:
    return Bar(shorten(visible(name[start:] or name), 40), count(n), n / longest, visible(name))
