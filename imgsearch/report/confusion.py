"""Labels of images against the names of the clusters they lie in, as a table: what is mixed with what."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from imgsearch.report.album import records
from imgsearch.report.data import ReportData
from imgsearch.terminal import visible

MAX_LABELS = 12
OTHERS, NO_NAME = "others", "no name"


class ConfusionRow(NamedTuple):
    """A label, how many images have it, how many of these by cluster name, and the share that lies in its own."""

    label: str
    n: int
    cells: list[int]
    own: float


class Confusion(NamedTuple):
    """``columns``: names of clusters. ``most``: the greatest cell. ``n_labels``: all there are, with a row or without.

    ``agreeing``: the share of all labelled images that lie in a cluster of their own name.
    """

    columns: list[str]
    rows: list[ConfusionRow]
    most: int
    n_labels: int
    agreeing: float


def table(data: ReportData) -> Confusion | None:
    """The commonest labels as rows and, in the same order, as columns; ``None`` where there are fewer than two."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for row in records(data.confusion):
        if row.get("label") is not None:
            cluster = None if row.get("cluster_label") is None else visible(row["cluster_label"])
            counts[visible(row["label"]), cluster] += int(row["n"])
    totals: Counter[str] = Counter()
    for (label, _), n in counts.items():
        totals[label] += n
    if len(totals) < 2:
        return None
    names = [label for label, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:MAX_LABELS]]
    rows = [_row(label, names, counts, totals[label]) for label in names]
    columns = [*names, OTHERS, NO_NAME]
    used = [i for i in range(len(columns)) if i < len(names) or any(row.cells[i] for row in rows)]
    rows = [row._replace(cells=[row.cells[i] for i in used]) for row in rows]
    most = max((n for row in rows for n in row.cells), default=1) or 1
    agreeing = sum(n for (label, cluster), n in counts.items() if label == cluster) / totals.total()
    return Confusion([columns[i] for i in used], rows, most, len(totals), agreeing)


def _row(label: str, names: list[str], counts: Counter[tuple[str, str | None]], total: int) -> ConfusionRow:
    cells = [counts[label, name] for name in names]
    unnamed = counts[label, None]
    cells += [total - sum(cells) - unnamed, unnamed]
    return ConfusionRow(label, total, cells, counts[label, label] / total)
