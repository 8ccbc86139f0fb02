"""Clusters as a page shows them: medoid first, then the nearest, then apart a few outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgsearch.report.album import Album, Picture, Record, records
from imgsearch.report.data import (
    MAX_CLUSTERS,
    MAX_LISTED,
    MAX_MEDOIDS,
    OUTLIERS_PER_CLUSTER,
    PER_CLUSTER,
    ReportData,
)
from imgsearch.report.metadata import SITE_WORDS, column_named
from imgsearch.report.text import count, decimal
from imgsearch.terminal import visible

MIXED_COLUMNS = 3


@dataclass(frozen=True)
class Cell:
    """A picture in a strip with its score as text."""

    picture: Picture
    score: str


@dataclass(frozen=True)
class Cluster:
    """One drawn cluster. ``medoid`` is ``None`` where none is known.

    ``share``: how many of its labelled images have its name, 0..1. ``mix``: carried values with their share of its
    images, for people; ``values``: all that the filter finds.
    """

    cluster_id: int
    name: str
    is_labelled: bool
    size: int
    cohesion: float | None
    medoid: Cell | None
    nearest: list[Cell]
    outliers: list[Cell]
    share: float | None = None
    mix: Sequence[str] = ()
    values: Sequence[str] = ()

    @property
    def search_text(self) -> str:
        """What the filter looks in beside the pictures' own names and values, lower case."""
        return " ".join([self.name, *self.values]).lower()


@dataclass(frozen=True)
class SmallCluster:
    """A cluster beyond those that are drawn: ``medoid`` is ``None`` where it has no picture here."""

    cluster_id: int
    name: str
    size: int
    medoid: Picture | None


def ranked(data: ReportData) -> list[Record]:
    """Rows of the clusters frame, largest first, then by id."""
    rows = [row for row in records(data.clusters) if row.get("cluster_id") is not None]
    return sorted(rows, key=lambda row: (-int(row.get("size") or 0), int(row["cluster_id"])))


def name_of(row: Record) -> str:
    """A cluster's label, or ``Cluster 7``."""
    return visible(row["label"]) if row.get("label") else f"Cluster {int(row['cluster_id'])}"


def drawn_clusters(data: ReportData, album: Album) -> list[Cluster]:
    """The 200 largest clusters with their pictures."""
    values: dict[int, list[Record]] = {}
    for row in records(data.values):
        values.setdefault(int(row["cluster_id"]), []).append(row)
    several = _telling(data)
    members: dict[int, list[Record]] = {}
    for row in records(data.members):
        if row.get("cluster_id") is not None:
            members.setdefault(int(row["cluster_id"]), []).append(row)
    drawn = ranked(data)[:MAX_CLUSTERS]
    return [
        _cluster(row, members.get(int(row["cluster_id"]), []), values.get(int(row["cluster_id"]), []), several, album)
        for row in drawn
    ]


def small_clusters(data: ReportData, album: Album) -> list[SmallCluster]:
    """The clusters after the 200 largest: the first 1,000 with their medoid, then 5,000 by name and size."""
    rest = ranked(data)[MAX_CLUSTERS : MAX_CLUSTERS + MAX_MEDOIDS + MAX_LISTED]
    return [
        SmallCluster(
            int(row["cluster_id"]), name_of(row), int(row.get("size") or 0),
            album.picture(row["medoid_id"]) if place < MAX_MEDOIDS and row.get("medoid_id") is not None else None,
        )
        for place, row in enumerate(rest)
    ]  # fmt: skip


def not_drawn(data: ReportData) -> str:
    """A sentence about the clusters that have not even a line; empty where there are none."""
    there = len(ranked(data))
    total = there if data.n_clusters_total is None else data.n_clusters_total
    n_more = total - min(there, MAX_CLUSTERS + MAX_MEDOIDS + MAX_LISTED)
    return f"{count(n_more)} more clusters are in the table dim_cluster of the export." if n_more > 0 else ""


def _telling(data: ReportData) -> list[str]:
    """Carried columns with several values, the one that says where first."""
    if data.values.empty:
        return []
    n_values = data.values.groupby("column", sort=False)["value"].nunique()
    columns = [str(c) for c in n_values.index[n_values > 1]]
    first = column_named(columns, SITE_WORDS)
    return columns if first is None else [first, *(c for c in columns if c != first)]


def _mix(values: list[Record], columns: list[str], size: int) -> list[str]:
    """Of each of the first columns the commonest value, if a quarter of the cluster has it."""
    mix = []
    for column in columns[:MIXED_COLUMNS]:
        top = max((v for v in values if v["column"] == column), key=lambda v: int(v["n"]), default=None)
        if top is not None and size and top["n"] >= size / 4:
            mix.append(f"{visible(column)} {visible(top['value'])} {min(100, round(100 * top['n'] / size))} %")
    return mix


def _cluster(row: Record, members: list[Record], values: list[Record], columns: list[str], album: Album) -> Cluster:
    members = sorted(members, key=lambda m: (m.get("rank") or 0, str(m.get("image_id"))))
    medoid_id = row.get("medoid_id")
    medoid_row = next((m for m in members if m.get("image_id") == medoid_id), {"image_id": medoid_id})
    others = [m for m in members if m.get("image_id") != medoid_id]
    near = [m for m in others if not m.get("is_outlier")][: PER_CLUSTER - 1]
    far = sorted(
        (m for m in others if m.get("is_outlier")), key=lambda m: (m.get("score") or 0.0, str(m.get("image_id")))
    )
    return Cluster(
        cluster_id=int(row["cluster_id"]),
        name=name_of(row),
        is_labelled=bool(row.get("label")),
        size=int(row.get("size") or 0),
        cohesion=row.get("cohesion"),
        medoid=None if medoid_id is None else _cell(medoid_row, album),
        nearest=[_cell(m, album) for m in near],
        outliers=[_cell(m, album) for m in far[:OUTLIERS_PER_CLUSTER]],
        share=row.get("label_share"),
        mix=_mix(values, columns, int(row.get("size") or 0)),
        values=[f"{visible(v['column'])}={visible(v['value'])}" for v in values],
    )


def _cell(member: Record, album: Album) -> Cell:
    return Cell(album.picture(member["image_id"], member.get("path")), decimal(member.get("score"), 2))
