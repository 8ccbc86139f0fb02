"""What could not be used: rows of ``quarantine``, with stage and reason."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.store import TableStore
from imgsearch.tables import QUARANTINE

#: Why a vector cannot be compared: the reason, and the sentence for a compressed embedding.
NO_DIRECTION = "no_direction"
NOTHING_LEFT = "nothing of the embedding is left after the mean is taken away"


def without_direction(rows: DataFrame, detail: str = NOTHING_LEFT) -> DataFrame:
    """``image_id`` and, unless the image itself is named by its path, ``path`` → the same with reason and detail."""
    if "path" not in rows.columns:
        rows = rows.withColumn("path", F.col("image_id"))
    return rows.select("path", "image_id", F.lit(NO_DIRECTION).alias("reason"), F.lit(detail).alias("detail"))


def quarantine(
    warehouse: TableStore, rows: DataFrame, stage: str, encoder_id: str | None = None, *, mended: bool = False
) -> None:
    """Add ``rows``: ``path``, ``image_id``, ``reason``, ``detail`` and, where they are known, the table's others.

    ``mended``: rows without a reason are good now and leave the table.
    """
    noted = {
        "stage": F.lit(stage),
        "encoder_id": F.lit(encoder_id).cast("string"),
        "quarantined_at": F.current_timestamp(),
    }
    columns = [name for name in QUARANTINE.columns if name in rows.columns]
    refused = rows.select(*columns).withColumns(noted)
    warehouse.merge(QUARANTINE, refused, delete=F.col("s.reason").isNull() if mended else None)
