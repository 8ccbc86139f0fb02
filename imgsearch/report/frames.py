"""What the page shows, read from the exported tables: totals of everything, and the images that are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.store import TableStore
from imgsearch.report import findings
from imgsearch.report.data import (
    MAX_CLUSTERS,
    MAX_MEDOIDS,
    MAX_QUERIES,
    OUTLIERS_PER_CLUSTER,
    PER_CLUSTER,
    ReportData,
)
from imgsearch.report.findings import as_pandas as _pandas
from imgsearch.report.star_dimensions import DIM_IMAGE
from imgsearch.tables import CLUSTER_CURVE, IMAGE_LABELS

MAX_FOLDERS, MAX_RUNS, MAX_METRICS = 50, 500, 500  # rows that the page gets
MAX_CARRIED = 16  # columns of metadata
NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")


def report_data(
    warehouse: TableStore, tables: dict[str, DataFrame], points: pa.Table, encoder: str, projection: str
) -> ReportData:
    """The page's frames, from the exported tables: totals of everything, and the images that are shown."""
    clusters = _pandas(tables["dim_cluster"].where("is_current").orderBy(F.desc("size"), "cluster_id"))
    members = _pandas(_shown_members(tables["fact_member"], clusters["cluster_id"].tolist()[:MAX_CLUSTERS]))
    matches = _shown_matches(tables["fact_match"])
    shown = {*members["image_id"], *points.column("image_id").to_pylist(), *matches["image_id"]}
    shown |= {i for i in clusters["medoid_id"].iloc[: MAX_CLUSTERS + MAX_MEDOIDS] if i is not None}
    images = _with_folder(tables["dim_image"].where("is_present"))
    strips, copies = findings.strips(images), findings.copies(tables["fact_duplicate"])
    shown |= {*strips["image_id"], *copies["image_id"]}
    ids = warehouse.spark.createDataFrame(pa.table({"image_id": pa.array(sorted(shown), pa.string())}))
    carried = [c for c in tables["dim_image"].columns if c not in DIM_IMAGE.columns and c != "folder"]
    return ReportData(
        title="What is in here",
        warehouse=warehouse.location,
        encoder=encoder,
        projection=projection,
        images=_shown_images(images.join(ids, on="image_id", how="inner"), carried[:MAX_CARRIED]),
        clusters=clusters[["cluster_id", "size", "medoid_id", "cohesion", "label", "label_share"]],
        values=findings.cluster_values(images, carried[:MAX_CARRIED], clusters["cluster_id"].tolist()[:MAX_CLUSTERS]),
        strips=strips,
        copies=copies,
        n_copies_total=findings.count_copies(tables["fact_duplicate"]),
        confusion=findings.confusion(images, tables["dim_cluster"]),
        drift=findings.drift(tables["fact_drift"]),
        members=members,
        curve=_pandas(warehouse.read_or_empty(CLUSTER_CURVE).where(F.col("projection_id") == projection)),
        doubt=_doubt(warehouse),
        map=points.to_pandas(),
        matches=matches,
        metrics=_pandas(tables["fact_metric"].limit(MAX_METRICS)),
        runs=_pandas(_latest_runs(tables["dim_run"])),
        n_clusters_total=len(clusters),
        n_queries_total=tables["dim_query"].count(),
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


def _shown_images(images: DataFrame, carried: list[str]) -> pd.DataFrame:
    """Names, facts, and what is carried with the images that the page shows."""
    own = ["image_id", "path", "format", "width", "height", "n_bytes", "folder", "label", "sharpness", "brightness"]
    dates = [F.col(c).cast("string").alias(c) for c in ("image_date", "exif_camera")]
    values = [_plain(images, c) for c in carried]
    return _pandas(images.select(*own, *dates, *values))


def _plain(images: DataFrame, name: str) -> Column:
    """Numbers as they are, for ranges of them; everything else as text."""
    kind = dict(images.dtypes)[name]
    column = F.col(quoted_part(name))
    return column if kind in NUMBERS else column.cast("string").alias(name)


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
        "n_folders_total": int(totals.loc[totals["level"] == 5, "n_rows"].max() or 0) if len(totals) else 0,
        "n_images_total": int(everything["n"].sum()),
        "n_distinct_total": int(everything["distinct"].sum()),
    }


def _totals(images: DataFrame) -> pd.DataFrame:
    """Paths (``n``) and contents (``distinct``) by format (level 3), folder (5, the largest), longer side (6) and in
    all (7); ``n_rows``: how many rows its level has, those left out too."""
    power = F.pow(F.lit(2), F.floor(F.log2(F.greatest("width", "height")))).cast("int")
    sized = images.select("format", "folder", power.alias("longer_side"), "n_paths")
    sets = [[F.col("format")], [F.col("folder")], [F.col("longer_side")], []]
    counts = sized.groupingSets(sets, "format", "folder", "longer_side").agg(
        F.grouping_id().cast("int").alias("level"), F.sum("n_paths").alias("n"), F.count("*").alias("distinct")
    )
    largest = Window.partitionBy("level").orderBy(F.desc("n"), "folder")
    place = F.when(F.col("level") == 5, F.row_number().over(largest)).otherwise(1)
    counts = counts.withColumn("n_rows", F.count("*").over(Window.partitionBy("level")))
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
