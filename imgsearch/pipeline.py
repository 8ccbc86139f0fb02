"""Pipeline: ingest → embed → compress → cluster → export, in one application."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters import cluster
from imgsearch.config import (
    ClusterConfig,
    CompressConfig,
    EmbedConfig,
    ExportConfig,
    IngestConfig,
    PipelineConfig,
)
from imgsearch.encoders import embed
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.images.source_tables import source_name
from imgsearch.lake.progress import Steps
from imgsearch.lake.runs import RunSummary, Stopwatch, finish, print_summary
from imgsearch.lake.store import TableStore
from imgsearch.places import CATALOG_NAME, absolute
from imgsearch.projections import compress
from imgsearch.report import export
from imgsearch.tables import IMAGES, QUARANTINE

STAGES = ("ingest", "embed", "compress", "cluster")


def run(spark: SparkSession, config: PipelineConfig) -> RunSummary:
    """Run the stages in order, printing each one's summary. A stopped pipeline goes on where it was."""
    watch = Stopwatch()
    output = config.output or default_output(config.warehouse)
    export.claim_output(spark, output)
    steps = Steps((*STAGES, "export"))
    rows_in, quarantined = prepare(spark, config, steps)
    steps("export")
    report = print_summary(export.run(spark, ExportConfig(warehouse=config.warehouse, output=output)))
    return finish(
        TableStore.open(spark, config.warehouse), "pipeline", watch, rows_in=rows_in, rows_out=rows_in - quarantined,
        quarantined=quarantined, details={"report": report.details["report"]},
    )  # fmt: skip


def prepare(spark: SparkSession, config: PipelineConfig, steps: Steps) -> tuple[int, int]:
    """From files to clusters: ``STAGES``, each announced. Returns how many files came in and how many were no use."""
    w = config.warehouse
    steps("ingest")
    first = print_summary(ingest.run(spark, IngestConfig(input=config.input, warehouse=w, exif=config.exif)))
    steps("embed")
    network = EmbedConfig(warehouse=w, encoder=config.encoder, thumbnails=config.thumbnails, regions=config.regions)
    print_summary(embed.run(spark, network))
    steps("compress")
    projection = CompressConfig(warehouse=w, n_components=config.n_components, encoder=config.encoder)
    print_summary(compress.run(spark, projection))
    steps("cluster")
    print_summary(cluster.run(spark, ClusterConfig(warehouse=w, n_clusters=config.n_clusters, encoder=config.encoder)))
    refused = min(first.rows_out, _refused(TableStore.open(spark, w), config.input))
    return first.rows_in, first.quarantined + refused


def _refused(warehouse: TableStore, image_folder: str) -> int:
    """Rows of ``images`` that came from this input and that embed refused, copies included."""
    source = source_name(image_folder)
    images = warehouse.read(IMAGES)
    own = images.where((F.col("source") == source) | F.col("path").startswith(source.rstrip("/") + "/"))
    refused = warehouse.read_or_empty(QUARANTINE).where("stage = 'embed'").select("image_id").distinct()
    return own.join(refused, on="image_id", how="left_semi").count()


def default_output(warehouse: str) -> str:
    """Where the export goes unless told: ``export`` in a warehouse that is a folder."""
    if CATALOG_NAME.match(warehouse):
        raise UserError(f"--warehouse {warehouse} is a schema: say where the report shall go with --output DIR")
    return f"{absolute(warehouse)}/export"
