"""One slice of the images to embed: computed into the staging task by task, then committed.

An executor that is lost costs its tasks, a worker that a file kills costs one attempt more, and a driver that is lost
costs the tasks that were running: the next run commits what the others had staged (``commit_left_over``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.region_rows import region_schema, rows_of_regions
from imgsearch.encoders.udf import embed, embedded_columns
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.sources import first_paths, with_bytes
from imgsearch.lake.lost_workers import was_lost
from imgsearch.lake.progress import Progress
from imgsearch.lake.quarantine import quarantine
from imgsearch.lake.session import n_tasks
from imgsearch.lake.staging import StagedRows
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.tables import EMBEDDINGS, IMAGES, QUARANTINE, REGION_VECTORS, REGIONS, THUMBNAILS, VECTORS

TASK_IMAGES = 512  # starting a task costs some 80 ms, an image 5 to 15
_TYPES = {"string": T.StringType(), "binary": T.BinaryType(), "float": T.FloatType()}
#: Reasons that another try may mend: their images are tried again by each run, each in a process of its own.
TRANSIENT_REASONS = ("unreadable", "changed", "timeout", "out_of_memory", "killed_worker")


@dataclass(frozen=True)
class Work:
    """What is the same for every slice of a run. ``regions``: of the images too; ``graph`` is then one with maps."""

    warehouse: TableStore
    encoder: Encoder
    graph: Broadcast[bytes]
    projection: Broadcast[Projection] | None
    limits: DecodeLimits
    progress: Progress | None = None
    thumbnails: bool = True
    regions: bool = False

    @property
    def staging_name(self) -> str:
        """What this encoder's rows are staged under."""
        return f"embed-{self.encoder.encoder_id}{'-regions' if self.regions else ''}"

    @property
    def staged_schema(self) -> T.StructType:
        """A staged row: an image that was asked for (``requested_id``), what its file gave, and by which projection."""
        ddl = f"path string, requested_id string, {embedded_columns(regions=self.regions)}, projection_id string"
        return T.StructType([T.StructField(name, _TYPES[kind]) for name, kind in map(str.split, ddl.split(", "))])

    def unseen(self) -> DataFrame:
        """Distinct images that this run is to embed."""
        return unseen(self.warehouse, self.encoder.encoder_id, regions=self.regions)

    def to_retry(self, *, elsewhere: bool = False) -> DataFrame:
        """Distinct images that were refused and that this run tries again."""
        return to_retry(self.warehouse, self.encoder.encoder_id, elsewhere=elsewhere, regions=self.regions)


class Counts(NamedTuple):
    """Images embedded and images quarantined."""

    good: int = 0
    bad: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(self.good + other.good, self.bad + other.bad)


def unseen(warehouse: TableStore, encoder_id: str, *, regions: bool = False) -> DataFrame:
    """Distinct images (``image_id``, one ``path``) that this encoder has neither embedded nor refused.

    ``regions``: an image without its regions counts as not embedded.
    """
    images = first_paths(warehouse.read(IMAGES))
    seen = _embedded_ids(warehouse, encoder_id, regions).union(refused(warehouse, encoder_id).select("image_id"))
    return images.join(seen, on="image_id", how="left_anti")


def to_retry(warehouse: TableStore, encoder_id: str, *, elsewhere: bool = False, regions: bool = False) -> DataFrame:
    """Distinct images that this encoder has refused, but for a reason that another try may mend.

    ``path`` is one that was not refused, where an image has such a one; ``elsewhere``: only images that have one.
    """
    rows = refused(warehouse, encoder_id)
    transient = F.col("reason").isin(*TRANSIENT_REASONS)
    tried = rows.where(transient).select("image_id", "path", F.lit(1).alias("_tried")).dropDuplicates()
    paths = warehouse.read(IMAGES).select("image_id", "path").join(tried, on=["image_id", "path"], how="left")
    untried_first = F.min(F.struct(F.coalesce("_tried", F.lit(0)).alias("_tried"), "path")).alias("_first")
    images = paths.groupBy("image_id").agg(untried_first)
    if elsewhere:
        images = images.where(F.col("_first._tried") == 0)
    images = images.select("image_id", F.col("_first.path").alias("path"))
    images = images.join(tried.select("image_id"), on="image_id", how="left_semi")
    images = images.join(rows.where(~transient).select("image_id"), on="image_id", how="left_anti")
    return images.join(_embedded_ids(warehouse, encoder_id, regions), on="image_id", how="left_anti")


def _embedded_ids(warehouse: TableStore, encoder_id: str, regions: bool) -> DataFrame:
    of_encoder = F.col("encoder_id") == encoder_id
    ids = warehouse.read_or_empty(EMBEDDINGS).where(of_encoder).select("image_id")
    if not regions:
        return ids
    first = warehouse.read_or_empty(REGIONS).where(of_encoder & (F.col("region") == 1)).select("image_id")
    return ids.join(first, on="image_id", how="left_semi")


def refused(warehouse: TableStore, encoder_id: str) -> DataFrame:
    """The rows of ``quarantine`` that this encoder's earlier runs wrote."""
    return warehouse.read_or_empty(QUARANTINE).where((F.col("stage") == "embed") & (F.col("encoder_id") == encoder_id))


def embed_slice(work: Work, images: DataFrame, n_images: int, *, retried: bool = False) -> Counts:
    """Embed ``images`` (``image_id``, ``path``) and commit them.

    ``retried``: they were refused before for a reason that may have passed. Each is decoded in a process of its own,
    since some may have killed a worker, and those that are good now leave the quarantine.
    """
    limits = replace(work.limits, apart=work.limits.apart or retried)
    with work.warehouse.kept(work.staging_name) as staged:
        try:
            staged.add(_embedded(work, images, n_images, limits))
        except Exception as error:
            if not was_lost(error):
                raise
            rest = images.join(_requests(work, staged), on="image_id", how="left_anti")
            staged.add(_embedded(work, rest, n_images, replace(limits, apart=True)))
        return _commit(work, staged.read(work.staged_schema))


def commit_left_over(work: Work) -> Counts:
    """Commit the embeddings that stopped runs had staged, of images that are wanted still, and remove them there."""
    counts = Counts()
    with work.warehouse.turn(f"{work.staging_name}-left-over") as is_ours:
        for staged in work.warehouse.left_over(work.staging_name) if is_ours else ():
            ids = work.unseen().select("image_id")
            rows = staged.read(work.staged_schema, left_over=True).where(F.col("reason").isNull())
            counts = counts.plus(_commit(work, rows.join(ids, on="image_id", how="left_semi")))
            staged.remove()
    return counts


def _requests(work: Work, staged: StagedRows) -> DataFrame:
    return staged.read(work.staged_schema).select(F.col("requested_id").alias("image_id"))


def _embedded(work: Work, images: DataFrame, n_images: int, limits: DecodeLimits) -> DataFrame:
    """Images → rows of ``work.staged_schema``."""
    tasks = n_tasks(work.warehouse.spark, n_images, TASK_IMAGES)
    files = with_bytes(work.warehouse, images).withColumnRenamed("image_id", "requested_id").repartition(tasks)
    # whatever is wrong with other bytes says nothing about the image: half a file, say, that is being written
    changed = F.col("image_id") != F.col("requested_id")
    detail = "the file is not the one that was ingested; ingest it again"
    projection_id = None if work.projection is None else work.projection.value.projection_id
    return (
        embed(
            files,
            work.encoder,
            work.graph,
            limits,
            work.progress,
            work.projection,
            thumbnails=work.thumbnails,
            regions=work.regions,
        )
        .withColumn("detail", F.when(changed, detail).otherwise(F.col("detail")))
        .withColumn("reason", F.when(changed, "changed").otherwise(F.col("reason")))
        .withColumn("projection_id", F.lit(projection_id).cast("string"))
        .select(*work.staged_schema.names)
    )


def _commit(work: Work, staged: DataFrame) -> Counts:
    """Commit staged rows to ``embeddings``, ``vectors`` and ``quarantine``, each image once."""
    answers = staged.select("path", "requested_id", "reason", "detail").dropDuplicates(["requested_id"])
    n, n_bad = answers.agg(F.count("*"), F.count("reason")).collect()[0]
    encoder_id = work.encoder.encoder_id
    if n > n_bad:
        good = staged.where(F.col("reason").isNull()).withColumn("encoder_id", F.lit(encoder_id))
        if work.projection is not None:  # an image that got no vector here is left to compress, which says why
            current = good.where(F.col("projection_id") == work.projection.value.projection_id)
            work.warehouse.insert_new(VECTORS, current.where(F.col("vector").isNotNull()))
            if work.regions:
                rows = _region_rows(current.where(F.col("region_vectors").isNotNull()), "region_vectors", "vector")
                projection_id = F.lit(work.projection.value.projection_id)
                work.warehouse.insert_new(REGION_VECTORS, rows.withColumn("projection_id", projection_id))
        if work.thumbnails:
            work.warehouse.insert_new(THUMBNAILS, good.where(F.col("thumbnail").isNotNull()))
        if work.regions:
            rows = _region_rows(good, "regions", "embedding").withColumn("encoder_id", F.lit(encoder_id))
            work.warehouse.insert_new(REGIONS, rows.withColumn("embedded_at", F.current_timestamp()))
        # Last, because an image is done once it has its embedding: a run that stops between the two leaves it undone.
        work.warehouse.insert_new(EMBEDDINGS, good.withColumn("embedded_at", F.current_timestamp()))
    if n_bad or work.warehouse.exists(QUARANTINE):
        bad = answers.where(F.col("reason").isNotNull())
        rows = bad.unionByName(_mended(work, answers, bad)).withColumnRenamed("requested_id", "image_id")
        quarantine(work.warehouse, rows, "embed", encoder_id, mended=True)
    return Counts(n - n_bad, n_bad)


def _region_rows(images: DataFrame, packed: str, column: str) -> DataFrame:
    """A row for each region of ``images`` with its box, and what is in ``packed`` as ``column``."""
    return images.select("image_id", "boxes", packed).mapInArrow(rows_of_regions(column), region_schema(column))


def _mended(work: Work, answers: DataFrame, bad: DataFrame) -> DataFrame:
    """The quarantine's rows, without a reason, of images and of paths that are good now: they leave it."""
    good = answers.where(F.col("reason").isNull()).select(F.col("path").alias("_path"), "requested_id")
    is_mended = (F.col("image_id") == F.col("requested_id")) | (F.col("path") == F.col("_path"))
    rows = refused(work.warehouse, work.encoder.encoder_id).join(F.broadcast(good), on=is_mended, how="left_semi")
    rows = rows.join(bad.select("path"), on="path", how="left_anti")
    nothing = {name: F.lit(None).cast("string") for name in ("reason", "detail")}
    return rows.select("path", F.col("image_id").alias("requested_id")).withColumns(nothing)
