"""Files that could not be used, with what came along with them: ``fact_quarantine``."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.store import TableStore
from imgsearch.report.star_carried import Carried, value_in_path
from imgsearch.tables import ENCODERS, QUARANTINE


def refused_files(warehouse: TableStore, carried: Carried) -> DataFrame:
    """``quarantine`` with its carried columns, its source and the encoder's name.

    The carried values are those of the file among the images, where it is one (``embed`` refused it); else what its
    folders called ``key=value`` say. A row of a table that ``ingest`` refused has left its other columns there.
    """
    refused = warehouse.read_or_empty(QUARANTINE).withColumnRenamed("image_id", "content_hash").drop("etag")
    encoders = warehouse.read_or_empty(ENCODERS).select("encoder_id", F.col("name").alias("encoder"))
    own = [F.col(quoted_part(c)).alias(f"_{i}") for i, c in enumerate(carried.columns)]
    files = carried.images.select(F.col("path"), "image_id", F.col("source").alias("_source"), *own)
    values = {c: F.coalesce(f"_{i}", _in_path(carried, c)) for i, c in enumerate(carried.columns)}
    rows = (
        refused.join(F.broadcast(encoders), on="encoder_id", how="left")
        .join(files, on="path", how="left")
        .crossJoin(F.broadcast(_sources(carried.images)))
    )
    dates = {"quarantined_date": F.col("quarantined_at").cast("date")}
    named = rows.withColumns({**values, **dates, "source": F.coalesce("_source", _source_of())})
    return named.drop("encoder_id", "modified_at", "_source", "_sources", *(f"_{i}" for i in range(len(own))))


def _in_path(carried: Carried, column: str) -> Column:
    kind = dict(carried.images.dtypes)[column]
    if column == "folder":
        return F.lit(None).cast("string")
    return value_in_path(F.col("path"), column, kind)


def _sources(images: DataFrame) -> DataFrame:
    """One row: the inputs that brought images; a few."""
    return images.agg(F.collect_set("source").alias("_sources"))


def _source_of() -> Column:
    """The longest of ``_sources`` that ``path`` lies under. Of several prefixes of a text the longest is the greatest.

    A query lies under none, but for one out of the gallery's own folder.
    """
    path = F.col("path")
    under = F.filter("_sources", lambda source: F.startswith(path, F.concat(F.rtrim(source, F.lit("/")), F.lit("/"))))
    return F.when(F.col("stage") != "search", F.array_max(under))
