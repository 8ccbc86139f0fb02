"""Pipeline: ingest → embed → compress → cluster → export, in one application."""

from __future__ import annotations

from pyspark.sql import SparkSession

from imgsearch.config import (
    ClusterConfig,
    CompressConfig,
    EmbedConfig,
    ExportConfig,
    IngestConfig,
    PipelineConfig,
)
from imgsearch.errors import UserError
from imgsearch.lake.warehouse import CATALOG_NAME, Warehouse, absolute
from imgsearch.stages import cluster, compress, embed, export, ingest
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import IMAGES, QUARANTINE


def run(spark: SparkSession, config: PipelineConfig) -> RunSummary:
    """Run the stages in order, printing each one's summary. A stopped pipeline goes on where it was."""
    watch = Stopwatch()
    output = config.output or default_output(config.warehouse)
    rows_in, quarantined = prepare(spark, config)
    report = told(export.run(spark, ExportConfig(warehouse=config.warehouse, output=output)))
    return finish(
        Warehouse.open(spark, config.warehouse), "pipeline", watch, rows_in=rows_in, rows_out=rows_in - quarantined,
        quarantined=quarantined, details={"report": report.details["report"]},
    )  # fmt: skip


def prepare(spark: SparkSession, config: PipelineConfig) -> tuple[int, int]:
    """From files to clusters: the stages before the export. Returns how many files came in and how many were no use."""
    w = config.warehouse
    first = told(ingest.run(spark, IngestConfig(input=config.input, warehouse=w)))
    told(embed.run(spark, EmbedConfig(warehouse=w, encoder=config.encoder)))
    told(compress.run(spark, CompressConfig(warehouse=w, n_components=config.n_components, encoder=config.encoder)))
    told(cluster.run(spark, ClusterConfig(warehouse=w, n_clusters=config.n_clusters, encoder=config.encoder)))
    return first.rows_in, first.rows_in - _usable(Warehouse.open(spark, w))


def _usable(warehouse: Warehouse) -> int:
    """Rows of ``images`` that embed did not refuse: what is left to look at, copies included."""
    refused = warehouse.read_or_empty(QUARANTINE).where("stage = 'embed'").select("image_id").distinct()
    return warehouse.read(IMAGES).join(refused, on="image_id", how="left_anti").count()


def told(summary: RunSummary) -> RunSummary:
    """Print a stage's summary as its own job would."""
    print(summary, flush=True)
    for note in summary.notes:
        print(f"  {note}", flush=True)
    return summary


def default_output(warehouse: str) -> str:
    """Where the export goes unless told: ``export`` in a warehouse that is a folder."""
    if CATALOG_NAME.match(warehouse):
        raise UserError(f"--warehouse {warehouse} is a schema: say where the report shall go with --output DIR")
    return f"{absolute(warehouse)}/export"
