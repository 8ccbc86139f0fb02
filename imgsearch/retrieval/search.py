"""Search: query images → ``matches``, by a broadcast cosine top-k against ``vectors`` (the join: ``join``)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters.layout import codebook
from imgsearch.config import SearchConfig
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.csv_files import write_file
from imgsearch.lake.rows import typed
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import current_projection, gallery_of
from imgsearch.retrieval.conditions import images_where, known_column
from imgsearch.retrieval.expansion import expand
from imgsearch.retrieval.group_search import Grouping, search_groups
from imgsearch.retrieval.join import NO_SCORE, image_key, visited
from imgsearch.retrieval.matches import named_groups, named_matches
from imgsearch.retrieval.probes import RECALL_METRIC, nearest_clusters
from imgsearch.retrieval.queries import read_queries
from imgsearch.retrieval.recall import Check, Search
from imgsearch.tables import CALIBRATIONS, EMBEDDINGS, GROUP_MATCHES, IMAGES, MATCHES, METRICS, VECTORS
from imgsearch.vectors import Matrix, unpack

#: How long a search waits for another one that is writing its tables.
WAIT_SECONDS = 300.0


def run(spark: SparkSession, config: SearchConfig) -> RunSummary:
    """Search for ``config.queries`` and replace ``matches`` by what was found (``group_matches`` too, if asked)."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    known, projection = current_projection(warehouse, config.encoder)
    images = warehouse.read(IMAGES)
    group_by = known_column(images, "group_by", config.group_by) if config.group_by is not None else None
    images = images if config.where is None else images_where(images, config.where)
    gallery, size = _gallery(warehouse, projection, images, config)
    book = None
    if config.nprobe is not None or config.recall is not None:
        book = codebook(warehouse, projection.projection_id, "--nprobe" if config.nprobe is not None else "--recall")
        if config.nprobe is not None and config.nprobe > len(book.cluster_ids):
            raise UserError.option(
                "nprobe", config.nprobe, f"there are {len(book.cluster_ids)} clusters; ask for fewer"
            )
    asked = read_queries(spark, warehouse, known, projection, config)
    n_queries = len(asked.ids)
    details: dict[str, object] = {"gallery": size, "top_k": config.top_k}
    notes: list[str] = []
    wanted = Search(
        asked.vectors, asked.own if config.exclude_self else None, gallery, size, config.top_k,
        NO_SCORE if config.min_score is None else config.min_score, book, config.nprobe,
    )  # fmt: skip
    if config.expand:
        wanted = wanted._replace(nprobe=config.nprobe or (len(book.cluster_ids) if book else None))
        wanted = wanted._replace(queries=expanded(wanted, config.expand), nprobe=config.nprobe)
    checked = Check.of(wanted, config) if book is not None else None
    if checked is not None and config.recall is not None:
        wanted = wanted._replace(nprobe=checked.nprobe_for(warehouse, projection, config.recall))
    found = wanted.find().persist()
    try:
        matches = named_matches(found, asked, images, _threshold(warehouse, projection)).persist()
        metrics = []
        if checked is not None and wanted.pruned():
            metrics = [(RECALL_METRIC, config.top_k, checked.recall(found))]
            details |= {"nprobe": wanted.nprobe, "clusters": len(book.cluster_ids) if book else 0}
            details |= _files_read(warehouse, projection, wanted) | {"checked_queries": len(checked.measured)}
            details |= {RECALL_METRIC: f"{metrics[0][2]:.4f}", "check_seconds": f"{checked.seconds:.1f}"}
            if config.recall is not None and metrics[0][2] < config.recall:
                notes.append(
                    f"measured {RECALL_METRIC} {metrics[0][2]:.4f} is below --recall {config.recall}; ask for more"
                )
        elif wanted.pruned():
            details |= {"nprobe": wanted.nprobe, **_files_read(warehouse, projection, wanted)}
        result = matches
        if group_by is not None:
            grouping = Grouping(group_by, config.top_k, config.group_best)
            support, n_cut = search_groups(
                lambda rows, depth: wanted.find(rows, depth), n_queries, images, grouping, size
            )
            result = typed(GROUP_MATCHES, named_groups(support, asked, images, group_by)).persist()
            details |= {"group_by": group_by, "groups": result.select("group_value").distinct().count()}
            if n_cut:
                notes.append(f"{n_cut:,} queries were ranked by their 10,000 best images only")
        _write(warehouse, matches, None if group_by is None else result, metrics)
        n_matches = matches.count()
        if config.output is not None:
            order = [c for c in ("query_path", "query_id", "rank", "image_rank") if c in result.columns]
            write_file(result.orderBy(*order).toArrow(), config.output)
            details |= {"output": config.output}
        result.unpersist()
        matches.unpersist()
    finally:
        found.unpersist()
    without = _without_vector(warehouse, projection, config) if config.where is None else 0
    if without:
        notes.append(f"{without:,} embedded images have no vector yet; run `{LAUNCHER} compress` to make them findable")
    return finish(
        warehouse, "search", watch, rows_in=asked.rows_in, rows_out=n_queries, quarantined=asked.rows_in - n_queries,
        details=details | {"matches": n_matches}, notes=tuple(notes),
    )  # fmt: skip


def expanded(wanted: Search, m: int) -> Matrix:
    """The queries, each moved towards its ``m`` best matches (``retrieval.expansion``)."""
    found = wanted.find(top_k=m)
    table = found.select("query_row", "rank", "image_key", "score").toArrow()
    keys = np.unique(table.column("image_key").to_numpy())
    spark = wanted.gallery.sparkSession
    sought = F.broadcast(spark.createDataFrame(pa.table({"image_key": keys})))
    rows = wanted.gallery.select(image_key("image_id").alias("image_key"), "vector")
    held = (
        rows.join(sought, on="image_key", how="left_semi").dropDuplicates(["image_key"]).orderBy("image_key").toArrow()
    )
    n, dim = wanted.queries.shape
    vectors = unpack(held.column("vector"), dim)
    queries, ranks = table.column("query_row").to_numpy(), table.column("rank").to_numpy() - 1
    neighbours, scores = np.zeros((n, m, dim), np.float32), np.zeros((n, m), np.float32)
    neighbours[queries, ranks] = vectors[np.searchsorted(keys, table.column("image_key").to_numpy())]
    scores[queries, ranks] = table.column("score").to_numpy()
    return expand(wanted.queries, neighbours, scores)


def _gallery(
    warehouse: TableStore, projection: Projection, images: DataFrame, config: SearchConfig
) -> tuple[DataFrame, int]:
    """What is searched, and its size. Raises ``UserError`` where it is empty, outdated or smaller than ``top_k``."""
    keep: Callable[[DataFrame], DataFrame] | None = None
    if config.where is not None:
        ids = images.select("image_id").distinct()

        def keep(vectors: DataFrame) -> DataFrame:
            return vectors.join(F.broadcast(ids), on="image_id", how="left_semi")

    gallery = gallery_of(warehouse, projection.projection_id, keep)
    try:
        size = gallery.select("image_id").count()
    except PySparkException as e:
        if config.where is None:
            raise
        why = str(e).strip().splitlines()[0].split(" SQLSTATE")[0]
        raise UserError(f"--where {config.where}: {why[:300]}; compare columns with values of their own type") from e
    where = warehouse.location
    if not size and config.where is not None:
        raise UserError(f"--where {config.where}: holds for no image that has a vector; loosen it")
    if not size:
        raise UserError(
            f"the projection in {where} ({projection.projection_id}) is newer than its vectors; "
            f"run `{LAUNCHER} compress --warehouse {where}` first"
        )
    if config.top_k > size and config.group_by is None:
        what = "images for which --where holds" if config.where is not None else "images"
        raise UserError.option("top_k", config.top_k, f"the gallery has {size:,} {what}; ask for {size:,} or fewer")
    return gallery, size


def _files_read(warehouse: TableStore, projection: Projection, wanted: Search) -> dict[str, str]:
    """``files_read=12 of 250``: what the filter on clusters leaves of the table's files."""
    if wanted.book is None or wanted.nprobe is None:
        return {}
    nearest = nearest_clusters(wanted.queries, wanted.book.centroids, wanted.book.cluster_ids, wanted.nprobe)
    vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id)
    return {"files_read": f"{len(visited(vectors, nearest).inputFiles())} of {len(vectors.inputFiles())}"}


def _threshold(warehouse: TableStore, projection: Projection) -> float | None:
    """The calibrated threshold of this projection, if there is one."""
    if not warehouse.exists(CALIBRATIONS):
        return None
    row = warehouse.read(CALIBRATIONS).where(F.col("projection_id") == projection.projection_id).first()
    return None if row is None else float(row["threshold"])


def _write(
    warehouse: TableStore, matches: DataFrame, groups: DataFrame | None, metrics: list[tuple[str, int, float]]
) -> None:
    """Put this search's tables in the place of the last one's. Another search waits until all of them are written."""
    with warehouse.lease("search", wait_seconds=WAIT_SECONDS):
        if groups is not None:
            warehouse.replace(GROUP_MATCHES, groups)
        elif warehouse.exists(GROUP_MATCHES) and not warehouse.read(GROUP_MATCHES).isEmpty():
            warehouse.delete(GROUP_MATCHES, F.lit(True))  # they were another search's
        warehouse.replace(MATCHES, matches)
        _keep_metrics(warehouse, metrics)


def _keep_metrics(warehouse: TableStore, metrics: list[tuple[str, int, float]]) -> None:
    """Put this search's measured recall in the place of the last one's; an exact search has none."""
    mine = f"metric = '{RECALL_METRIC}'"
    if metrics or (warehouse.exists(METRICS) and warehouse.read(METRICS).where(mine).first() is not None):
        frame = warehouse.spark.createDataFrame(metrics, "metric string, k int, value double")
        warehouse.replace(METRICS, frame.coalesce(1), where=mine)


def _without_vector(warehouse: TableStore, projection: Projection, config: SearchConfig) -> int:
    """Embedded images that ``compress`` has not seen."""
    mine = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == projection.encoder_id).select("image_id")
    have = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id).select("image_id")
    return int(mine.join(have, on="image_id", how="left_anti").count())
