"""What has changed since an input was ingested: files that are the same, that hold other bytes, that are gone.

A path in ``quarantine`` is not in ``images``. An image none of whose paths holds its bytes any more leaves the
warehouse with all that was derived of it, so that nothing is searched that is not there: at once where its file holds
other bytes or cannot be used now, with ``--prune`` where its file is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.images.inspection import EXIF_NAMES
from imgsearch.lake.files import Listing
from imgsearch.lake.local_files import UNLISTED
from imgsearch.lake.store import TableStore
from imgsearch.tables import (
    CONFLICTS,
    CONTENTS,
    DUPLICATES,
    EMBEDDINGS,
    IMAGE_LABELS,
    IMAGES,
    LABEL_NEXT,
    LEAKS,
    MAP_POINTS,
    MEMBERS,
    NEIGHBOURS,
    QUARANTINE,
    REGION_VECTORS,
    REGIONS,
    THUMBNAILS,
    VECTORS,
)

#: Columns of ``images`` that an unchanged file keeps, with ``_`` before them where they stand beside the file's own.
FILE_COLUMNS = (
    "image_id",
    "format",
    "width",
    "height",
    "n_pages",
    "n_bytes",
    "modified_at",
    "etag",
    "reason",
    "detail",
    *EXIF_NAMES,
)
#: The others are strings.
TYPES = {
    "width": "int", "height": "int", "n_pages": "int", "n_bytes": "bigint", "modified_at": "timestamp",
    "exif_time": "timestamp", "exif_latitude": "double", "exif_longitude": "double", "exif_orientation": "int",
}  # fmt: skip
#: Refusals that only other bytes can mend.
LASTING = ("not_an_image", "truncated", "decode_error")
MAX_UNLISTED = 100
#: Tables whose rows leave with their image.
OF_IMAGES = (
    EMBEDDINGS, VECTORS, REGIONS, REGION_VECTORS, NEIGHBOURS, MEMBERS, MAP_POINTS, CONFLICTS, LABEL_NEXT, CONTENTS,
    THUMBNAILS,
)  # fmt: skip


@dataclass(frozen=True)
class Ledger:
    """What an earlier ingest knows of this input's files: ``path`` and ``FILE_COLUMNS`` (each with ``_`` before it).

    ``in_scope``: ``path``, ``image_id`` and ``is_image`` (else it is in ``quarantine``) of all that this input must
    list again if the file is still there.
    """

    files: DataFrame
    in_scope: DataFrame


def read_ledger(warehouse: TableStore, listing: Listing) -> Ledger | None:
    """The files of this input that were ingested; ``None`` for a new warehouse."""
    if not warehouse.exists(IMAGES):
        return None
    images = warehouse.read(IMAGES)
    refused = warehouse.read_or_empty(QUARANTINE).where("stage = 'ingest'")
    if listing.is_folder:
        inside = F.col("path").startswith(listing.root.rstrip("/") + "/")
        images, refused = images.where(inside), refused.where(inside)
    good = images.select("path", *(_unchanged_value(images, c) for c in FILE_COLUMNS))
    bad = refused.where(F.col("reason").isin(*LASTING))
    bad = bad.select("path", *(_unchanged_value(bad, c) for c in FILE_COLUMNS)).join(
        images.select("path"), on="path", how="left_anti"
    )
    scope = images if listing.is_folder else images.where(F.col("source") == listing.name)
    scope = scope.select("path", "image_id", F.lit(True).alias("is_image"))
    if listing.is_folder:
        scope = scope.unionByName(refused.select("path", "image_id", F.lit(False).alias("is_image")))
    return Ledger(good.unionByName(bad), scope)


def _unchanged_value(frame: DataFrame, name: str) -> Column:
    value = F.col(name) if name in frame.columns else F.lit(None)
    return value.cast(TYPES.get(name, "string")).alias(f"_{name}")


def compare(files: DataFrame, ledger: Ledger | None, rehash: bool) -> DataFrame:
    """Files with ``FILE_COLUMNS`` as they were, and ``_unchanged``: same size, time and (where both have one) etag."""
    if ledger is None:
        empty = {f"_{c}": F.lit(None).cast(TYPES.get(c, "string")) for c in FILE_COLUMNS}
        return files.withColumns(empty | {"_unchanged": F.lit(False)})
    same = (
        F.col("reason").isNull()
        & (F.col("_image_id").isNotNull())
        & F.col("n_bytes").eqNullSafe(F.col("_n_bytes"))
        & (F.col("modified_at") == F.col("_modified_at"))
        & F.coalesce(F.col("etag") == F.col("_etag"), F.lit(True))
    )
    unchanged = F.lit(False) if rehash else F.coalesce(same, F.lit(False))
    return files.join(ledger.files, on="path", how="left").withColumn("_unchanged", unchanged)


def unchanged_rows(unchanged: DataFrame) -> DataFrame:
    """Unchanged files as they were inspected before."""
    columns = {c: F.col(f"_{c}") for c in FILE_COLUMNS if c != "etag"}
    return unchanged.withColumns(columns)


def gone(ledger: Ledger | None, files: DataFrame) -> DataFrame | None:
    """Rows of ``in_scope`` whose file is not listed any more.

    ``None`` where that cannot be known: a folder could not be listed, and there are too many such folders.
    """
    if ledger is None:
        return None
    rows = files.where(F.col("reason") == UNLISTED).select("path").limit(MAX_UNLISTED + 1).collect()
    if len(rows) > MAX_UNLISTED:
        return None
    missing = ledger.in_scope.join(files.select("path"), on="path", how="left_anti")
    for row in rows:
        missing = missing.where(~F.col("path").startswith(row["path"].rstrip("/") + "/"))
    return missing


def forget(warehouse: TableStore, leaving: DataFrame, rows: DataFrame, sweep: bool) -> int:
    """Remove what was derived of images that have no path any more; returns how many images that are.

    ``leaving``: ``path`` and ``image_id`` that do not belong together any more. ``rows``: what this run found, usable
    or not. ``sweep``: look at all that was ever embedded, for what stopped runs have left. The paths themselves leave
    ``images`` last, so a run that is stopped half-way does the rest when it is run again.
    """
    good = rows.where(F.col("reason").isNull()).select("path", "image_id")
    images = warehouse.read(IMAGES).select("path", "image_id")
    staying = images.join(leaving.select("path"), on="path", how="left_anti").unionByName(good)
    candidates = leaving.select("image_id")
    if sweep:
        for spec in (EMBEDDINGS, VECTORS, REGIONS, REGION_VECTORS, MEMBERS):
            candidates = candidates.union(warehouse.read_or_empty(spec).select("image_id"))
    lost = candidates.distinct().join(staying, on="image_id", how="left_anti")
    lost = warehouse.stage(lost, "lost")
    n_lost = lost.count()
    if n_lost:
        for spec in OF_IMAGES:
            warehouse.delete_matching(spec, lost, "t.image_id = s.image_id")
        warehouse.delete_matching(QUARANTINE, lost, "t.image_id = s.image_id AND t.stage <> 'ingest'")
    for spec in (IMAGE_LABELS, DUPLICATES, LEAKS):
        warehouse.delete_matching(spec, leaving, "t.path = s.path")
    warehouse.delete_matching(IMAGES, leaving.join(good, on="path", how="left_anti"), "t.path = s.path")
    return n_lost


def forget_refused(warehouse: TableStore, missing: DataFrame) -> None:
    """Remove what ``quarantine`` says of files that are gone (``path``)."""
    warehouse.delete_matching(QUARANTINE, missing.select("path"), "t.path = s.path AND t.stage = 'ingest'")
