"""Matches as a frame → a grid of thumbnails for a notebook."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.images.sources import with_bytes
from imgsearch.lake.files import with_content
from imgsearch.lake.session import is_connect
from imgsearch.lake.store import TableStore
from imgsearch.report.grid import Grid, grid_of
from imgsearch.report.thumbnail_rows import thumbnails
from imgsearch.tables import BOX

COLUMNS = ("query_id", "query_path", "rank", "image_id", "path", "score")


def grid_of_frame(matches: DataFrame, n_queries: int, top_k: int, store: TableStore | None = None) -> Grid:
    """The ``top_k`` best matches of the first ``n_queries`` queries by path. The driver holds no more than these.

    ``matches``: ``COLUMNS``. ``store``: where the bytes of images are that came in a table; files are read by path.
    Raises ``UserError`` where columns are missing or a number is below 1.
    """
    missing = [name for name in COLUMNS if name not in matches.columns]
    if missing:
        raise UserError(
            f"show: the matches have no {', '.join(missing)} (they have {', '.join(matches.columns)}); "
            "give the frame that Warehouse.search returns, or join the paths"
        )
    for name, value in (("n_queries", n_queries), ("top_k", top_k)):
        if value < 1:
            raise UserError(f"show: {name} {value}: must be at least 1")
    if is_connect(matches.sparkSession):
        raise UserError("show: Spark Connect cannot read the images; collect the matches in a classic session")
    queries = matches.select("query_path", "query_id").distinct().orderBy("query_path", "query_id")
    first = [row["query_id"] for row in queries.limit(n_queries + 1).collect()]
    shown = matches.where(F.col("query_id").isin(first[:n_queries]) & (F.col("rank") <= top_k))
    boxes = [name for name in BOX if name in matches.columns]
    rows = [row.asDict() for row in shown.select(*COLUMNS, *boxes).collect()]
    more = f"Only the first {n_queries:,} are shown; n_queries=… shows more." if len(first) > n_queries else ""
    return grid_of(rows, _thumbnails(matches, rows, store), more)


def _thumbnails(matches: DataFrame, rows: list[dict[str, object]], store: TableStore | None) -> dict[str, bytes]:
    """By path: those of the queries and of what they match, where the file can be read and is still the same."""
    files = {(str(row[i]), str(row[p])) for row in rows for i, p in (("query_id", "query_path"), ("image_id", "path"))
             if row[p] is not None}  # fmt: skip
    if not files:
        return {}
    ids, paths = zip(*sorted(files), strict=True)
    spark = matches.sparkSession
    table = pa.table({"image_id": pa.array(ids, pa.string()), "path": pa.array(paths, pa.string())})
    frame = spark.createDataFrame(table)
    images = with_content(spark, frame) if store is None else with_bytes(store, frame)
    small = {row["image_id"]: row["thumbnail"] for row in thumbnails(images).collect()}
    return {path: small[i] for i, path in files if small.get(i) is not None}
