"""What the server holds of a warehouse: vectors, members, clusters, paths and metadata, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.projections.projection import Projection, projection_of
from imgsearch.projections.storage import expand
from imgsearch.report.metadata import DATE_WORDS, SITE_WORDS, column_named
from imgsearch.tables import CLUSTERS, ENCODERS, IMAGES, MEMBERS, PROJECTIONS, VECTORS
from imgsearch.vectors import Matrix, unpack, unpack_bytes

NO_CLUSTER = -1


class EncoderRow(NamedTuple):
    """A row of ``encoders``."""

    encoder_id: str
    name: str
    settings: str


class Clusters(NamedTuple):
    """The clusters, ascending by ``ids`` (c,). ``silhouette``: (c,) float32; ``centroids``: (c, dim) unit rows."""

    ids: NDArray[np.int32]
    silhouette: NDArray[np.float32]
    centroids: Matrix
    medoid_ids: list[str | None]
    codebook_id: str | None


@dataclass(frozen=True)
class Collection:
    """The images that have a vector, in ascending order of ``image_ids``; a row is a position among them.

    ``vectors``: (n, dim) float32, unit rows. ``cluster_rows``: (n,) position in ``clusters``, ``NO_CLUSTER`` for none.
    ``scores``, ``margins``: (n,) float32 as in ``members``. ``images``: paths and metadata, a row an image;
    ``n_paths``: (n,) how many files have its bytes.
    """

    encoder: EncoderRow
    projection: Projection
    image_ids: pa.StringArray
    vectors: Matrix
    cluster_rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    margins: NDArray[np.float32]
    clusters: Clusters
    images: pa.Table
    n_paths: NDArray[np.int64]
    site_column: str | None
    date_column: str | None

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each image."""
        return {image_id: row for row, image_id in enumerate(self.image_ids.to_pylist())}

    @cached_property
    def position_of(self) -> dict[int, int]:
        """The position of each cluster number."""
        return {int(cluster_id): i for i, cluster_id in enumerate(self.clusters.ids)}

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """The rows of each cluster, best score first; equal scores in order of id."""
        order = np.lexsort((np.arange(len(self.scores)), -self.scores, self.cluster_rows))
        starts = np.searchsorted(self.cluster_rows[order], np.arange(len(self.clusters.ids) + 1))
        return [order[a:b] for a, b in pairwise(starts)]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(c,) images of each cluster."""
        return np.array([len(rows) for rows in self.members], np.int64)

    @cached_property
    def cohesion(self) -> NDArray[np.float32]:
        """(c,) mean cosine of each cluster's images to its centroid; 0 for none."""
        return np.array([self.scores[rows].mean() if len(rows) else 0 for rows in self.members], np.float32)

    @cached_property
    def sites(self) -> list[str | None]:
        """Where each image is from, as text."""
        return self._texts(self.site_column)

    @cached_property
    def dates(self) -> list[str | None]:
        """When each image was taken, as text that sorts by time."""
        return self._texts(self.date_column)

    @cached_property
    def facets(self) -> list[str]:
        """The carried columns that tell images apart: more than one value, and fewer than there are images."""
        n = len(self.image_ids)
        return [c for c in carried_columns(self.images) if 1 < pc.count_distinct(self.images[c]).as_py() < max(n, 3)]

    def image_id(self, row: int) -> str:
        """The id of an image."""
        return str(self.image_ids[row])

    def medoid_row(self, position: int) -> int | None:
        """The row of a cluster's medoid; its best member where the medoid is gone."""
        row = self.row_of.get(self.clusters.medoid_ids[position] or "")
        return int(self.members[position][0]) if row is None and len(self.members[position]) else row

    def _texts(self, column: str | None) -> list[str | None]:
        if column is None:
            return [None] * len(self.image_ids)
        values = self.images[column]
        if pa.types.is_temporal(values.type):
            values = pc.strftime(values, "%Y-%m-%d")
        return [None if value is None else str(value) for value in values.to_pylist()]


def load(
    warehouse: DeltaFolder, encoder: str | None = None, site_column: str | None = None, date_column: str | None = None
) -> Collection:
    """Read a warehouse. Raises ``UserError`` where it has no vectors or clusters, or lacks a column that is named."""
    row = _encoder(warehouse, encoder)
    projection = _projection(warehouse, row)
    where = pc.field("projection_id") == projection.projection_id
    clusters = _clusters(warehouse, where)
    stored = warehouse.read(VECTORS, ["image_id", "vector", "region"], where)
    stored = stored.filter(pc.is_null(stored["region"])).drop_columns("region")
    files = warehouse.read(IMAGES).sort_by("path")
    known = pc.unique(files["image_id"])
    stored = stored.filter(pc.is_in(stored["image_id"], known)).sort_by("image_id")
    ids = stored["image_id"].combine_chunks()
    members = warehouse.read(MEMBERS, ["image_id", "cluster_id", "score", "margin", "codebook_id"], where)
    _check_fit(warehouse, members, clusters)
    at = _positions(members["image_id"], ids)
    cluster_rows = np.full(len(ids), NO_CLUSTER, np.int32)
    in_clusters = _positions(members["cluster_id"], pa.array(clusters.ids))
    cluster_rows[at[at >= 0]] = in_clusters[at >= 0]
    images, n_paths = _files_of(files, ids)
    return Collection(
        row, projection, ids, _matrix(stored["vector"], projection), cluster_rows,
        _scattered(members["score"], at, len(ids)), _scattered(members["margin"], at, len(ids)), clusters,
        images, n_paths, _column(images, "site_column", site_column, SITE_WORDS),
        _column(images, "date_column", date_column, DATE_WORDS) or "modified_at",
    )  # fmt: skip


def _encoder(warehouse: DeltaFolder, name: str | None) -> EncoderRow:
    rows = warehouse.read(ENCODERS).sort_by([("created_at", "descending"), ("encoder_id", "ascending")]).to_pylist()
    for row in rows:
        if name is None or name in (row["encoder_id"], row["name"]):
            return EncoderRow(row["encoder_id"], row["name"], row["settings"])
    raise UserError.unknown("encoder", str(name), [row["name"] for row in rows])


def _projection(warehouse: DeltaFolder, encoder: EncoderRow) -> Projection:
    where = pc.field("encoder_id") == encoder.encoder_id
    rows = warehouse.read(PROJECTIONS, where=where).sort_by([("created_at", "descending")]).slice(0, 1).to_pylist()
    if not rows:
        raise UserError(
            f"there is no projection for the encoder {encoder.name} in {warehouse.location}; "
            f"run `{LAUNCHER} compress --warehouse {warehouse.location}` first"
        )
    return projection_of(rows[0])


def _clusters(warehouse: DeltaFolder, where: Any) -> Clusters:
    rows = warehouse.read(
        CLUSTERS, ["cluster_id", "silhouette", "centroid", "medoid_id", "codebook_id"], where
    ).sort_by("cluster_id")
    if not len(rows):
        raise UserError(
            f"{warehouse.location} has no clusters of the current projection; "
            f"run `{LAUNCHER} cluster --warehouse {warehouse.location}` first"
        )
    return Clusters(
        rows["cluster_id"].to_numpy().astype(np.int32),
        np.nan_to_num(rows["silhouette"].to_numpy().astype(np.float32)),
        np.array(unpack(rows["centroid"])),
        rows["medoid_id"].to_pylist(),
        rows["codebook_id"][0].as_py(),
    )


def _check_fit(warehouse: DeltaFolder, members: pa.Table, clusters: Clusters) -> None:
    """``members`` are written first and ``clusters`` last. Raises ``UserError`` where the two are of different fits."""
    fits = set(pc.unique(members["codebook_id"]).to_pylist()) - {None}
    if fits - {clusters.codebook_id}:
        raise UserError(
            f"the clusters in {warehouse.location} are being made, or a run that made them was stopped; wait until it "
            f"has ended, or run `{LAUNCHER} cluster --warehouse {warehouse.location}`"
        )


def _matrix(column: pa.ChunkedArray, projection: Projection) -> Matrix:
    """Stored vectors → (n, n_components) float32, a chunk at a time."""
    if not len(column):
        return np.empty((0, projection.n_components), np.float32)
    return np.concatenate([expand(unpack_bytes(chunk), projection.storage) for chunk in column.chunks if len(chunk)])


def _positions(values: pa.ChunkedArray, among: pa.Array) -> NDArray[np.int64]:
    """(n,) position of each value in ``among``; -1 where it is not there."""
    return pc.fill_null(pc.index_in(values, value_set=among), -1).to_numpy().astype(np.int64)


def _scattered(column: pa.ChunkedArray, at: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    values = np.zeros(n, np.float32)
    values[at[at >= 0]] = np.nan_to_num(column.to_numpy().astype(np.float32))[at >= 0]
    return values


def _files_of(files: pa.Table, ids: pa.StringArray) -> tuple[pa.Table, NDArray[np.int64]]:
    """The first file by path of each image, and how many it has."""
    at = _positions(files["image_id"], ids)
    usable = np.flatnonzero(at >= 0)
    n_paths = np.bincount(at[usable], minlength=len(ids))
    first = np.zeros(len(ids), np.int64)
    first[at[usable[::-1]]] = usable[::-1]
    return files.take(pa.array(first)), n_paths


def _column(images: pa.Table, option: str, name: str | None, words: Sequence[str]) -> str | None:
    """The column that ``name`` names, else the first carried one whose name holds one of ``words``."""
    carried = carried_columns(images)
    if name is not None:
        if name not in images.column_names:
            raise UserError.option(option, name, f"'images' has no such column; it has {', '.join(carried) or 'none'}")
        return name
    return column_named(carried, words)


def carried_columns(images: pa.Table) -> list[str]:
    """The columns of ``images`` that came with the input."""
    return [name for name in images.column_names if name not in IMAGES.columns]
