"""Ingest: a folder, a glob or a Delta table → ``images`` and ``quarantine``.

Every file found becomes a row of one of the two. Files stay where they are: ``images`` keeps their path and the hash
of their bytes, and ``embed`` reads them there. Only images that came as bytes in a table are kept, once per content,
in ``contents``. A file of unchanged size, time and etag is not read again.
"""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import IngestConfig
from imgsearch.errors import UserError
from imgsearch.images.carried import as_in_warehouse
from imgsearch.images.changes import compare, forget, forget_refused, gone, read_ledger, unchanged_rows
from imgsearch.images.inspection import EXIF_NAMES, inspect
from imgsearch.images.source_tables import distinct_images
from imgsearch.images.sources import read_source
from imgsearch.lake.files import Listing, with_content
from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.quarantine import quarantine
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.session import n_tasks
from imgsearch.lake.store import TableStore
from imgsearch.tables import CONTENTS, IMAGES, QUARANTINE

TASK_FILES = 256  # read by one task
FILE_ROWS = 200_000  # rows of 'images' in a file, about 30 MB


class Counts(NamedTuple):
    """Rows of an input: all, those that were not read, those that were refused, those that repeat another row."""

    n: int
    unchanged: int
    bad: int
    repeats: int
    distinct: int
    changed: int


def run(spark: SparkSession, config: IngestConfig) -> RunSummary:
    """Ingest ``config.input`` into the warehouse. Idempotent: a file that has not changed changes nothing."""
    watch = Stopwatch()
    opened: list[TableStore] = []

    def warehouse() -> TableStore:  # nothing is made before there is a file
        if not opened:
            opened.append(TableStore.open(spark, config.warehouse, create=True))
        return opened[0]

    try:
        listing, holds_content = read_source(
            spark, config.input, follow_links=config.follow_links, stage=lambda page: warehouse().stage(page, "listing")
        )
        if not listing.n_files and (listing.n_files == 0 or listing.files.isEmpty()):
            raise UserError(f"--input {config.input}: there is no file in it; give a folder, glob or table with images")
        return _ingest(warehouse(), listing, holds_content, config, watch)
    finally:
        for store in opened:
            store.close()


def _ingest(
    warehouse: TableStore, listing: Listing, holds_content: bool, config: IngestConfig, watch: Stopwatch
) -> RunSummary:
    ledger = read_ledger(warehouse, listing)
    if holds_content:
        seen = distinct_images(_inspect(listing.files, config), listing.name)
        files = rows = compare(seen, ledger, rehash=True).persist()
    else:
        files = compare(listing.files, ledger, config.rehash).persist()
        rows = _inspected(warehouse, files, listing, config)
    rows = warehouse.stage(_as_images(rows, listing.name), "inspected")
    if ledger is not None:
        rows = as_in_warehouse(rows, warehouse.read(IMAGES), config.input)
    missing = gone(ledger, files)
    missing = None if missing is None else warehouse.stage(missing, "gone")
    counts = _count(rows, files, listing)
    files.unpersist()  # before anything is written: Spark computes a cache anew when a table behind it changes
    if holds_content:
        _keep_contents(warehouse, listing.files, rows)
    n_gone = 0 if missing is None else missing.count()
    left = 0
    if ledger is not None:
        left = _leave(warehouse, rows, missing if config.prune and n_gone else None, config.prune)
    _write(warehouse, rows, counts)
    return finish(
        warehouse, "ingest", watch, rows_in=counts.n, rows_out=counts.n - counts.bad, quarantined=counts.bad,
        details=_details(config, counts, n_gone),
        notes=listing.notes + _notes(config, counts, n_gone, left, ledger is not None and missing is None),
    )  # fmt: skip


def _write(warehouse: TableStore, rows: DataFrame, counts: Counts) -> None:
    good = rows.where(F.col("reason").isNull()).drop("reason", "detail", "_image_id", "n_rows")
    warehouse.merge(IMAGES, good.coalesce(max(1, counts.n // FILE_ROWS)))
    if counts.bad or warehouse.exists(QUARANTINE):  # a file that was mended leaves the quarantine
        quarantine(warehouse, rows.coalesce(1), "ingest", mended=True)


def _inspected(warehouse: TableStore, files: DataFrame, listing: Listing, config: IngestConfig) -> DataFrame:
    """Files that are new or have changed, read; and of a table, whose metadata may have changed, the others too."""
    todo = files.where(~F.col("_unchanged"))
    n_todo = todo.where(F.col("reason").isNull()).count()
    todo = todo.repartition(n_tasks(warehouse.spark, n_todo, TASK_FILES))
    read = _inspect(with_content(warehouse.spark, todo, config.max_bytes), config)
    if listing.n_files is not None:
        return read
    return read.unionByName(unchanged_rows(files.where("_unchanged")))


def _inspect(files: DataFrame, config: IngestConfig) -> DataFrame:
    return inspect(files, config.max_pixels, config.max_bytes, exif=config.exif)


def _as_images(rows: DataFrame, source: str) -> DataFrame:
    """Columns of ``images``, carried metadata, ``reason``, ``detail``, ``n_rows`` and the ``_image_id`` that was."""
    if "n_rows" not in rows.columns:
        rows = rows.withColumn("n_rows", F.lit(1).cast("bigint"))
    own = ("image_id", "path", "format", "width", "height", "n_pages", "n_bytes", "modified_at", "etag")
    image_columns = (*own, *EXIF_NAMES)
    last = ("reason", "detail", "n_rows", "_image_id")
    carried = [quoted_part(c) for c in rows.columns if c not in (*image_columns, *last) and not c.startswith("_")]
    before = F.when(F.col("_reason").isNull(), F.col("_image_id"))  # of an image, not of a refusal
    now = {"source": F.lit(source), "ingested_at": F.current_timestamp(), "_image_id": before}
    return rows.withColumns(now).select(*image_columns, "source", "ingested_at", *carried, *last)


def _count(rows: DataFrame, files: DataFrame, listing: Listing) -> Counts:
    """Counts over the rows that were looked at, and those of a listing that are as they were."""
    bad = F.col("reason").isNotNull()
    differs = F.col("_image_id").isNotNull() & ~F.col("_image_id").eqNullSafe(F.col("image_id"))
    sums = rows.agg(
        F.sum("n_rows").alias("n"),
        F.sum(F.when(bad, F.col("n_rows"))).alias("bad"),
        F.sum(F.col("n_rows") - 1).alias("repeats"),
        F.sum(differs.cast("int")).alias("changed"),
    ).collect()[0]
    unchanged = files.where("_unchanged")
    ids = rows.where(~bad).select("image_id").union(unchanged.where("_reason IS NULL").select("_image_id"))
    n_unchanged = unchanged.count()
    n_bad = sums["bad"] or 0
    n = sums["n"] or 0
    if listing.n_files is not None:
        n += n_unchanged
        n_bad += unchanged.where("_reason IS NOT NULL").count()
    return Counts(n, n_unchanged, n_bad, sums["repeats"] or 0, ids.distinct().count(), sums["changed"] or 0)


def _leave(warehouse: TableStore, rows: DataFrame, missing: DataFrame | None, sweep: bool) -> int:
    """Forget images whose path holds other bytes, cannot be used, or is gone. Returns how many images that are."""
    changed = F.col("_image_id").isNotNull() & ~F.when(F.col("reason").isNull(), F.col("image_id")).eqNullSafe(
        F.col("_image_id")
    )
    leaving = rows.where(changed).select("path", F.col("_image_id").alias("image_id"))
    if missing is not None:  # and --prune was given
        leaving = leaving.unionByName(missing.where("is_image").drop("is_image"))
        forget_refused(warehouse, missing.where("NOT is_image"))
    return 0 if leaving.isEmpty() and not sweep else forget(warehouse, leaving, rows, sweep)


def _details(config: IngestConfig, counts: Counts, n_gone: int) -> dict[str, object]:
    details: dict[str, object] = {"input": config.input, "distinct": counts.distinct}
    more = {"unchanged": counts.unchanged, "changed": counts.changed, "gone": n_gone, "repeated": counts.repeats}
    return details | {name: n for name, n in more.items() if n}


def _notes(config: IngestConfig, counts: Counts, n_gone: int, left: int, unknown: bool) -> tuple[str, ...]:
    notes = []
    if counts.repeats:
        notes.append(f"{counts.repeats:,} rows repeat the image of another row, whose metadata counts")
    if n_gone:
        consequence = "they and what was derived of them left" if config.prune else "they stay until ingest has --prune"
        notes.append(f"{n_gone:,} files of this input are gone: {consequence}")
    if left:
        notes.append(f"{left:,} images have no file with their bytes any more: what was derived of them left")
    if unknown:
        notes.append("many folders could not be listed, so it is not known which files are gone (see 'quarantine')")
    return tuple(notes)


def _keep_contents(warehouse: TableStore, files: DataFrame, rows: DataFrame) -> None:
    """Add the bytes of images that are not in ``contents`` yet, once per content."""
    present = warehouse.read_or_empty(CONTENTS).select("image_id")
    good = rows.where(F.col("reason").isNull()).select("image_id").distinct()
    new = good.join(present, on="image_id", how="left_anti")
    hashed = files.select(F.sha2("content", 256).alias("image_id"), "content")
    warehouse.insert_new(CONTENTS, hashed.join(new, on="image_id", how="left_semi"))
