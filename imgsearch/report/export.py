"""Export: the warehouse → a star of flat tables for BI tools, SQL views on it, thumbnails, and the HTML report."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
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
from imgsearch.report.data import MAX_CLUSTERS, MAX_QUERIES, OUTLIERS_PER_CLUSTER, PER_CLUSTER
from imgsearch.report.page import ReportData, write_report
from imgsearch.report.star_dimensions import DIM_THUMBNAIL
from imgsearch.report.star_facts import FACT_IMAGE
from imgsearch.report.star_files import StarFolder
from imgsearch.report.star_schema import write_star
from imgsearch.report.star_tables import STAR
from imgsearch.report.thumbnail_rows import data_uris, thumbnails_of
from imgsearch.report.tsne import tsne_map
from imgsearch.tables import (
    CLUSTER_CURVE,
    IMAGE_LABELS,
    MEMBERS,
)
from imgsearch.vectors import unpack

MARKER, PARTS = ".imgsearch-export", ("delta", "parquet", "report", "sql")
MAX_FOLDERS, MAX_RUNS, MAX_METRICS = 50, 500, 500  # rows that the page gets


def run(spark: SparkSession, config: ExportConfig) -> RunSummary:
    """Write ``delta/``, ``parquet/``, ``sql/``, ``report/`` into ``config.output``, in place of an earlier export."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder, projection = current_projection(warehouse, config.encoder)
    out = absolute(config.output)
    claim_output(spark, config.output)
    points = _map(warehouse, projection.projection_id, config.map_points)
    folder = StarFolder(spark, out)
    tables = write_star(
        warehouse, folder, encoder.encoder_id, projection.projection_id, spark.createDataFrame(points), config.search_id
    )
    made_by = f"{encoder.name} ({encoder.encoder_id})"
    data = _report_data(warehouse, tables, points, made_by, projection.projection_id)
    page = _write_report(warehouse, data, folder)
    folder.remove_others()
    folder.write_statements(c for c in tables["fact_image"].columns if c not in FACT_IMAGE.columns)
    n = data.n_distinct_total or 0
    return finish(warehouse, "export", watch, rows_in=n, rows_out=n, details={"tables": len(STAR), "report": page})


def claim_output(spark: SparkSession, output: str) -> None:
    """Mark the folder of the export as ours. Raises ``UserError`` where it is another's."""
    claim(folder_at(spark, absolute(output)), MARKER, "output", output, PARTS)


def _map(warehouse: TableStore, projection_id: str, n_points: int) -> pa.Table:
    """A 2-D map of a sample: ``image_id``, ``x``, ``y``, ``cluster_id``."""
    vectors = vectors_of(warehouse, projection_id)
    sample = sample_rows(vectors, "image_id", n_points, vectors.count())
    members = warehouse.read_or_empty(MEMBERS).where(F.col("projection_id") == projection_id)
    table = (
        sample.join(members.select("image_id", "cluster_id"), on="image_id", how="left")
        .select("image_id", "vector", "cluster_id")
        .orderBy("image_id")
        .toArrow()
    )
    xy, chosen = tsne_map(unpack(table.column("vector")), seed=0, max_points=n_points)
    points = table.take(chosen)
    return pa.table(
        {
            "image_id": points.column("image_id"),
            "x": pa.array(xy[:, 0], pa.float64()),
            "y": pa.array(xy[:, 1], pa.float64()),
            "cluster_id": points.column("cluster_id").cast(pa.int32()),
        }
    )


def _report_data(
    warehouse: TableStore, tables: dict[str, DataFrame], points: pa.Table, encoder: str, projection: str
) -> ReportData:
    """The page's frames, from the exported tables: totals of everything, and the images that are shown."""
    clusters = _pandas(tables["dim_cluster"].where("is_current").orderBy(F.desc("size"), "cluster_id"))
    members = _pandas(_shown_members(tables["fact_member"], clusters["cluster_id"].tolist()[:MAX_CLUSTERS]))
    matches = _shown_matches(tables["fact_match"])
    shown = {*members["image_id"], *points.column("image_id").to_pylist(), *matches["image_id"]}
    shown |= {*clusters["medoid_id"].iloc[:MAX_CLUSTERS]}
    ids = warehouse.spark.createDataFrame(pa.table({"image_id": pa.array(sorted(shown), pa.string())}))
    images = _with_folder(tables["dim_image"].where("is_present"))
    facts = images.join(ids, on="image_id", how="inner")
    return ReportData(
        title="What is in here",
        warehouse=warehouse.location,
        encoder=encoder,
        projection=projection,
        images=_pandas(facts.select("image_id", "path", "format", "width", "height", "n_bytes", "folder")),
        clusters=clusters[["cluster_id", "size", "medoid_id", "cohesion", "label"]],
        members=members,
        curve=_pandas(warehouse.read_or_empty(CLUSTER_CURVE).where(F.col("projection_id") == projection)),
        doubt=_doubt(warehouse),
        map=points.to_pandas(),
        matches=matches,
        metrics=_pandas(tables["fact_metric"].limit(MAX_METRICS)),
        runs=_pandas(_latest_runs(tables["dim_run"])),
        n_clusters_total=len(clusters),
        created_at=datetime.now(UTC),
        **_refused(tables["fact_quarantine"]),
        **_breakdowns(_totals(images)),
    )


def _doubt(warehouse: TableStore) -> pd.DataFrame:
    """How many images that nobody named have a label of each confidence, in steps of 0.01; NaN: no label."""
    spread = (
        warehouse.read_or_empty(IMAGE_LABELS).where("origin <> 'person'").select("image_id", "confidence").distinct()
    )
    step = F.floor(F.col("confidence").cast("double") * 100 + 0.5) / 100
    return _pandas(spread.groupBy(step.alias("confidence")).agg(F.count("*").alias("images")))


def _with_folder(images: DataFrame) -> DataFrame:
    """Images have a folder, or else the source they came from in its place."""
    return images if "folder" in images.columns else images.withColumn("folder", F.col("source"))


def _shown_matches(matches: DataFrame) -> pd.DataFrame:
    """The best matches of the first queries by path."""
    best = matches.where(F.col("rank") <= PER_CLUSTER)
    queries = best.select("query_path").distinct().orderBy("query_path").limit(MAX_QUERIES)
    return _pandas(best.join(queries, on="query_path", how="inner").orderBy("query_path", "rank"))


def _refused(quarantine: DataFrame) -> dict[str, Any]:
    """``ReportData``'s fields of the images that could not be used: how many by reason, and ten examples of each."""
    counts = quarantine.groupBy("reason", "stage").agg(F.count("*").alias("n"))
    reasons = _pandas(counts.orderBy(F.desc("n"), "reason"))
    numbered = quarantine.withColumn("_n", F.row_number().over(Window.partitionBy("reason", "stage").orderBy("path")))
    examples = _pandas(numbered.where("_n <= 10").drop("_n"))
    return {"quarantine": examples, "reasons": reasons, "n_quarantined_total": int(reasons["n"].sum())}


def _breakdowns(totals: pd.DataFrame) -> dict[str, Any]:
    """``ReportData``'s fields with counts of all images, from ``_totals``."""

    def by(name: str, level: int) -> pd.DataFrame:
        rows = totals[totals["level"] == level][[name, "n"]]
        return rows.sort_values("n", ascending=False, kind="stable").reset_index(drop=True)

    everything = totals[totals["level"] == 7]
    return {
        "formats": by("format", 3),
        "folders": by("folder", 5),
        "sizes": by("longer_side", 6).sort_values("longer_side"),
        "n_images_total": int(everything["n"].sum()),
        "n_distinct_total": int(everything["distinct"].sum()),
    }


def _totals(images: DataFrame) -> pd.DataFrame:
    """Paths (``n``) and contents (``distinct``) by format (level 3), folder (5, the largest), longer side (6) and in
    all (7)."""
    power = F.pow(F.lit(2), F.floor(F.log2(F.greatest("width", "height")))).cast("int")
    sized = images.select("format", "folder", power.alias("longer_side"), "n_paths")
    sets = [[F.col("format")], [F.col("folder")], [F.col("longer_side")], []]
    counts = sized.groupingSets(sets, "format", "folder", "longer_side").agg(
        F.grouping_id().cast("int").alias("level"), F.sum("n_paths").alias("n"), F.count("*").alias("distinct")
    )
    largest = Window.partitionBy("level").orderBy(F.desc("n"), "folder")
    place = F.when(F.col("level") == 5, F.row_number().over(largest)).otherwise(1)
    return _pandas(counts.withColumn("_place", place).where(F.col("_place") <= MAX_FOLDERS).drop("_place"))


def _latest_runs(runs: DataFrame) -> DataFrame:
    latest = runs.orderBy(F.desc("started_at")).limit(MAX_RUNS)
    return latest.drop("versions_read", "versions_written", "details").orderBy("started_at")


def _shown_members(members: DataFrame, clusters: list[int]) -> DataFrame:
    """The members nearest to each centroid, and the farthest outliers."""
    far = Window.partitionBy("cluster_id").orderBy("score", "image_id")
    return (
        members.where(F.col("cluster_id").isin(clusters))
        .withColumn("_far", F.when(F.col("is_outlier"), F.row_number().over(far)))
        .where((F.col("rank") <= PER_CLUSTER) | (F.col("_far") <= OUTLIERS_PER_CLUSTER))
        .drop("_far")
    )


def _write_report(warehouse: TableStore, data: ReportData, folder: StarFolder) -> str:
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
    page = write_report(ReportData(**{**vars(data), "thumbnails": names}), local)
    if place is not None:
        return str(page)
    leave_folder(local, f"{out}/report")
    return f"{out}/report/index.html"


def _shown_files(warehouse: TableStore, data: ReportData) -> DataFrame:
    """``image_id`` and ``path`` of the images and queries that the page shows."""
    files = dict(zip(data.images["image_id"], data.images["path"], strict=True))
    if len(data.matches):
        files |= dict(zip(data.matches["query_id"], data.matches["query_path"], strict=True))
    table = pa.table(
        {"image_id": pa.array(list(files), pa.string()), "path": pa.array(list(files.values()), pa.string())}
    )
    return warehouse.spark.createDataFrame(table)


def _pandas(frame: DataFrame) -> pd.DataFrame:
    result = frame.toArrow().to_pandas()
    return result.replace({np.nan: None}) if len(result) and result.dtypes.eq(object).any() else result
