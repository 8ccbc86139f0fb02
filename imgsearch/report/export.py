"""Export: the warehouse → a star of flat tables for BI tools, SQL views on it, thumbnails, and the HTML report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import ExportConfig
from imgsearch.lake.batches import sample_rows
from imgsearch.lake.owned import claim, folder_at
from imgsearch.lake.remote_files import leave_folder
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.shared_files import LocalFolder
from imgsearch.lake.store import TableStore
from imgsearch.places import absolute, local_path
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.report.atlas import atlas_table
from imgsearch.report.clusters import name_of, ranked
from imgsearch.report.frames import report_data
from imgsearch.report.page import ReportData, write_report
from imgsearch.report.star_dimensions import DIM_THUMBNAIL
from imgsearch.report.star_facts import FACT_IMAGE
from imgsearch.report.star_files import StarFolder
from imgsearch.report.star_schema import write_star
from imgsearch.report.star_tables import STAR
from imgsearch.report.thumbnail_rows import data_uris, thumbnails_of
from imgsearch.report.tsne import tsne_map
from imgsearch.tables import MEMBERS
from imgsearch.vectors import Matrix, unpack

ATLAS = "atlas.parquet"
MARKER, PARTS = ".imgsearch-export", ("delta", "parquet", "report", "sql")


def run(spark: SparkSession, config: ExportConfig) -> RunSummary:
    """Write ``delta/``, ``parquet/``, ``sql/``, ``report/`` into ``config.output``, in place of an earlier export."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder, projection = current_projection(warehouse, config.encoder)
    out = absolute(config.output)
    claim_output(spark, config.output)
    points, vectors = _map(warehouse, projection.projection_id, config.map_points)
    settings = f"{encoder.encoder_id} {projection.projection_id} {config.search_id}"
    folder = StarFolder(spark, out, settings)
    tables = write_star(warehouse, folder, encoder.encoder_id, projection.projection_id, points, config.search_id)
    made_by = f"{encoder.name} ({encoder.encoder_id})"
    data = report_data(warehouse, tables, points, made_by, projection.projection_id)
    page = _write_report(warehouse, data, folder, partial(_write_atlas, points, vectors))
    folder.finish()
    folder.remove_others()
    folder.write_statements(c for c in tables["fact_image"].columns if c not in FACT_IMAGE.columns)
    n = data.n_distinct_total or 0
    details = {"tables": len(STAR), "unchanged": len(folder.unchanged), "report": page}
    return finish(warehouse, "export", watch, rows_in=n, rows_out=n, details=details)


def claim_output(spark: SparkSession, output: str) -> None:
    """Mark the folder of the export as ours. Raises ``UserError`` where it is another's."""
    claim(folder_at(spark, absolute(output)), MARKER, "output", output, PARTS)


def _map(warehouse: TableStore, projection_id: str, n_points: int) -> tuple[pa.Table, Matrix]:
    """A 2-D map of a sample: ``image_id``, ``x``, ``y``, ``cluster_id``; and the vectors of these."""
    vectors = vectors_of(warehouse, projection_id)
    sample = sample_rows(vectors, "image_id", n_points, vectors.count())
    members = warehouse.read_or_empty(MEMBERS).where(F.col("projection_id") == projection_id)
    table = (
        sample.join(members.select("image_id", "cluster_id"), on="image_id", how="left")
        .select("image_id", "vector", "cluster_id")
        .orderBy("image_id")
        .toArrow()
    )
    matrix = unpack(table.column("vector"))
    xy, chosen = tsne_map(matrix, seed=0, max_points=n_points)
    points = table.take(chosen)
    places = pa.table(
        {
            "image_id": points.column("image_id"),
            "x": pa.array(xy[:, 0], pa.float64()),
            "y": pa.array(xy[:, 1], pa.float64()),
            "cluster_id": points.column("cluster_id").cast(pa.int32()),
        }
    )
    return places, matrix[chosen]


def _write_report(
    warehouse: TableStore, data: ReportData, folder: StarFolder, write_atlas: Callable[[ReportData, Path], None]
) -> str:
    """Thumbnails, also as ``dim_thumbnail``, and the page; by way of a local folder where ``folder`` is not one."""
    out = folder.out
    place = local_path(out)
    local = Path(tempfile.mkdtemp(prefix="imgsearch-report-")) if place is None else place / "report"
    LocalFolder(local).remove("thumbnails")
    (local / "thumbnails").mkdir(parents=True)
    small = thumbnails_of(warehouse, _shown_files(warehouse, data)).persist()
    try:
        folder.write(DIM_THUMBNAIL.name, data_uris(small))
        names: dict[str, str] = {}
        for row in small.toLocalIterator():
            names[row["image_id"]] = f"thumbnails/{row['image_id'][:24]}.jpg"
            (local / names[row["image_id"]]).write_bytes(row["thumbnail"])
    finally:
        small.unpersist()
    data = ReportData(**{**vars(data), "thumbnails": names})
    write_atlas(data, local)
    page = write_report(data, local)
    if place is not None:
        return str(page)
    leave_folder(local, f"{out}/report")
    return f"{out}/report/index.html"


def _write_atlas(points: pa.Table, vectors: Matrix, data: ReportData, folder: Path) -> None:
    """``atlas.parquet`` beside the page, with the thumbnails that are there."""

    def picture(image_id: str) -> bytes | None:
        name = data.thumbnails.get(image_id)
        return None if name is None else (folder / name).read_bytes()

    names = {int(row["cluster_id"]): name_of(row) for row in ranked(data)}
    partial_file = folder / f".{ATLAS}.{os.getpid()}"
    try:
        pyarrow.parquet.write_table(atlas_table(points, vectors, data.images, names, picture), partial_file)
        partial_file.replace(folder / ATLAS)
    finally:
        partial_file.unlink(missing_ok=True)


def _shown_files(warehouse: TableStore, data: ReportData) -> DataFrame:
    """``image_id`` and ``path`` of the images and queries that the page shows."""
    files = dict(zip(data.images["image_id"], data.images["path"], strict=True))
    if len(data.matches):
        files |= dict(zip(data.matches["query_id"], data.matches["query_path"], strict=True))
    table = pa.table(
        {"image_id": pa.array(list(files), pa.string()), "path": pa.array(list(files.values()), pa.string())}
    )
    return warehouse.spark.createDataFrame(table)
