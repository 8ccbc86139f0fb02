"""Clusters as a page shows them: medoid first, then the nearest, then apart a few outliers."""

from __future__ import annotations

from dataclasses import dataclass

from imgsearch.report.album import Album, Picture, Record, records
from imgsearch.report.data import MAX_CLUSTERS, OUTLIERS_PER_CLUSTER, PER_CLUSTER, ReportData
from imgsearch.report.text import count, decimal
from imgsearch.terminal import visible


@dataclass(frozen=True)
class Cell:
    """A picture in a strip with its score as text."""

    picture: Picture
    score: str


@dataclass(frozen=True)
class Cluster:
    """One drawn cluster. ``medoid`` is ``None`` where none is known."""

    cluster_id: int
    name: str
    is_labelled: bool
    size: int
    cohesion: float | None
    medoid: Cell | None
    nearest: list[Cell]
    outliers: list[Cell]

    @property
    def search_text(self) -> str:
        """What the filter looks in, lower case."""
        cells = [*([self.medoid] if self.medoid else []), *self.nearest, *self.outliers]
        return " ".join([self.name, *(cell.picture.name for cell in cells)]).lower()


def ranked(data: ReportData) -> list[Record]:
    """Rows of the clusters frame, largest first, then by id."""
    rows = [row for row in records(data.clusters) if row.get("cluster_id") is not None]
    return sorted(rows, key=lambda row: (-int(row.get("size") or 0), int(row["cluster_id"])))


def name_of(row: Record) -> str:
    """A cluster's label, or ``Cluster 7``."""
    return visible(row["label"]) if row.get("label") else f"Cluster {int(row['cluster_id'])}"


def drawn_clusters(data: ReportData, album: Album) -> list[Cluster]:
    """The 200 largest clusters with their pictures."""
    members: dict[int, list[Record]] = {}
    for row in records(data.members):
        if row.get("cluster_id") is not None:
            members.setdefault(int(row["cluster_id"]), []).append(row)
    return [_cluster(row, members.get(int(row["cluster_id"]), []), album) for row in ranked(data)[:MAX_CLUSTERS]]


def not_drawn(data: ReportData) -> str:
    """A sentence about the clusters beyond the 200 largest; empty where there are none."""
    rest = ranked(data)[MAX_CLUSTERS:]
    total = data.n_clusters_total if data.n_clusters_total is not None else len(ranked(data))
    n_more = max(total - MAX_CLUSTERS, len(rest))
    if n_more <= 0:
        return ""
    sentence = f"{count(n_more)} smaller clusters are not drawn"
    if len(rest) == n_more:
        sizes = [int(row.get("size") or 0) for row in rest]
        sentence += f": {count(sum(sizes))} images, {count(min(sizes))} to {count(max(sizes))} a cluster"
    return sentence + "."


def _cluster(row: Record, members: list[Record], album: Album) -> Cluster:
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
    )


def _cell(member: Record, album: Album) -> Cell:
    return Cell(album.picture(member["image_id"], member.get("path")), decimal(member.get("score"), 2))
