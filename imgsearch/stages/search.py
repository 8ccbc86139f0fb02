"""Search: query images → ``matches``, by a broadcast cosine top-k against ``vectors`` (the join: ``stages.join``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import SearchConfig
from imgsearch.core.expansion import expand
from imgsearch.core.projection import Projection
from imgsearch.core.vectors import Matrix, unpack
from imgsearch.core.visits import UNCLUSTERED, Ids, choose_nprobe, nearest_clusters, recall_at_k
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.warehouse import Warehouse
from imgsearch.stages.groups import Grouping, search_groups
from imgsearch.stages.join import NO_SCORE, image_key, search, visited
from imgsearch.stages.layout import Codebook, codebook
from imgsearch.stages.metadata import images_where, known_column
from imgsearch.stages.queries import Asked, read_queries
from imgsearch.stages.space import current_projection, gallery_of
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import CALIBRATIONS, EMBEDDINGS, GROUP_MATCHES, IMAGES, MATCHES, METRICS, VECTORS

__all__ = ["find", "run", "search", "write_file"]

RECALL_METRIC = "ann_recall_at_k"


class Search(NamedTuple):
    """One search with all that was asked of it. ``gallery``: ``image_id``, ``cluster_id``, ``vector``; narrowed."""

    queries: Matrix
    own: Ids | None
    gallery: DataFrame
    size: int
    top_k: int
    min_score: float
    book: Codebook | None = None
    nprobe: int | None = None

    def pruned(self) -> bool:
        """Whether clusters are left out."""
        return self.book is not None and self.nprobe is not None

    def find(self, rows: Ids | None = None, top_k: int | None = None, exact: bool = False) -> DataFrame:
        """``join.search`` for the queries ``rows`` (all if not given); ``query_row`` counts in ``rows``."""
        queries = self.queries if rows is None else self.queries[rows]
        own = self.own if self.own is None or rows is None else self.own[rows]
        nearest = None
        if not exact and self.book is not None and self.nprobe is not None:
            nearest = nearest_clusters(queries, self.book.centroids, self.book.cluster_ids, self.nprobe)
        cut = min(top_k or self.top_k, self.size)
        return search(queries, self.gallery, cut, own=own, min_score=self.min_score, nearest=nearest)


def run(spark: SparkSession, config: SearchConfig) -> RunSummary:
    """Search for ``config.queries`` and replace ``matches`` by what was found (``group_matches`` too, if asked)."""
    watch = Stopwatch()
    warehouse = Warehouse.open(spark, config.warehouse)
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
            result = named_groups(support, asked, images, group_by)
            warehouse.replace(GROUP_MATCHES, result)
            result = warehouse.read(GROUP_MATCHES)
            details |= {"group_by": group_by, "groups": result.select("group_value").distinct().count()}
            if n_cut:
                notes.append(f"{n_cut:,} queries were ranked by their 10,000 best images only")
        elif warehouse.exists(GROUP_MATCHES) and not warehouse.read(GROUP_MATCHES).isEmpty():
            warehouse.replace(GROUP_MATCHES, warehouse.read(GROUP_MATCHES).limit(0))  # they were another search's
        warehouse.replace(MATCHES, matches)
        _keep_metrics(warehouse, metrics)
        n_matches = matches.count()
        if config.output is not None:
            order = [c for c in ("query_path", "query_id", "rank", "image_rank") if c in result.columns]
            write_file(result.orderBy(*order).toArrow(), config.output)
            details |= {"output": config.output}
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


def find(
    queries: DataFrame,
    gallery: DataFrame,
    top_k: int = 10,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
) -> DataFrame:
    """The join from a notebook: frames in, frame out.

    ``queries`` and ``gallery`` have ``image_id`` (sha-256 hex) and ``vector`` (packed float32, unit length), such as
    rows of ``vectors``. Returns ``query_id``, ``rank`` (from 1), ``image_id``, ``score``. Raises ``UserError``.
    """
    for name, frame in (("queries", queries), ("gallery", gallery)):
        missing = [c for c in ("image_id", "vector") if c not in frame.columns]
        if missing:
            raise UserError(
                f"search: {name} lacks {missing} (it has {frame.columns}); give rows of the table 'vectors'"
            )
    if top_k < 1:
        raise UserError(f"search: top_k {top_k}: must be at least 1")
    spark = gallery.sparkSession
    table = queries.select("image_id", "vector").orderBy("image_id").toArrow()
    first = gallery.select("vector").first()
    if not table.num_rows or first is None:
        return spark.createDataFrame([], "query_id string, rank int, image_id string, score float")
    dim = len(first["vector"]) // 4
    try:
        vectors = unpack(table.column("vector"), dim)
    except ValueError as e:
        raise UserError(
            f"search: queries have {e}, the dimension of the gallery; project both with one projection"
        ) from e
    asked = Asked(table.column("image_id").to_pylist(), [None] * table.num_rows, vectors, table.num_rows)
    found = search(
        vectors, gallery, top_k,
        own=asked.own if exclude_self else None, min_score=NO_SCORE if min_score is None else min_score,
    )  # fmt: skip
    named = gallery.select("image_id").distinct().withColumn("image_key", image_key("image_id"))
    return (
        found.join(F.broadcast(_numbered(spark, asked)), on="query_row", how="inner")
        .join(named, on="image_key", how="inner")
        .select("query_id", "rank", "image_id", "score")
    )


class Check(NamedTuple):
    """Some of the queries, answered exactly: ``truth`` (query_row of the sample, image_key). The first ``n_chosen`` of
    ``rows`` serve to choose nprobe, the others to measure it, so that the figure is not the one that was fitted."""

    search: Search
    rows: Ids
    n_chosen: int
    truth: pa.Table
    seconds: float

    @classmethod
    def of(cls, wanted: Search, config: SearchConfig) -> Check | None:
        """Answer the sample; ``None`` where none was asked for."""
        n = min(config.check_queries, len(wanted.queries))
        if n == 0:
            return None
        start = time.monotonic()
        rows = np.random.default_rng(0).permutation(len(wanted.queries))[:n]
        truth = wanted.find(rows, exact=True).toArrow()
        return cls(wanted, rows, 0 if config.recall is None or n < 2 else n // 2, truth, time.monotonic() - start)

    @property
    def measured(self) -> Ids:
        """The queries whose recall is measured."""
        return self.rows[self.n_chosen :]

    def nprobe_for(self, warehouse: Warehouse, projection: Projection, recall: float) -> int:
        """The fewest clusters with which the choosing half reaches ``recall``, its doubt allowed for."""
        book = self.search.book
        assert book is not None
        n = self.n_chosen or len(self.rows)
        order = nearest_clusters(
            self.search.queries[self.rows[:n]], book.centroids, book.cluster_ids, len(book.cluster_ids)
        )
        queries, keys = self.truth.column("query_row").to_numpy(), self.truth.column("image_key").to_numpy()
        keys, queries = keys[queries < n], queries[queries < n]
        spark = warehouse.spark
        vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id)
        sought = spark.createDataFrame(pa.table({"image_key": np.unique(keys)}))
        homes = vectors.select(image_key("image_id").alias("image_key"), "cluster_id")
        table = homes.join(F.broadcast(sought), on="image_key", how="left_semi").toArrow()
        home_of = dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
        clusters = np.array([UNCLUSTERED if home_of[k] is None else home_of[k] for k in keys.tolist()], np.int64)
        hit = order[queries] == clusters[:, None]
        places = np.where(hit.any(axis=1), hit.argmax(axis=1), -1)
        return choose_nprobe(queries, places, recall, len(book.cluster_ids))

    def recall(self, found: DataFrame) -> float:
        """``ann_recall_at_k`` of ``found`` on the measured queries."""
        spark = found.sparkSession
        rows = spark.createDataFrame(pa.table({"query_row": self.measured.astype(np.int32)}))
        answers = (
            found.join(F.broadcast(rows), on="query_row", how="left_semi").select("query_row", "image_key").toArrow()
        )
        mine = _by_query(answers.column(0).to_pylist(), answers.column(1).to_pylist())
        sample = self.rows[self.truth.column("query_row").to_numpy()].tolist()
        truth = _by_query(sample, self.truth.column("image_key").to_pylist())
        measured = self.measured.tolist()
        return recall_at_k([mine.get(row, []) for row in measured], [truth.get(row, []) for row in measured])


def expanded(wanted: Search, m: int) -> Matrix:
    """The queries, each moved towards its ``m`` best matches (``core.expansion``)."""
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


def named_matches(found: DataFrame, asked: Asked, images: DataFrame, threshold: float | None) -> DataFrame:
    """``join.search``'s rows with names in place of numbers: the columns of ``matches``."""
    match = F.lit(None).cast("boolean") if threshold is None else F.col("score") >= F.lit(threshold).cast("float")
    return _named(found, asked, images).select(
        "query_id", "query_path", "rank", "image_id", "path", "score", match.alias("is_match")
    )


def named_groups(support: DataFrame, asked: Asked, images: DataFrame, column: str) -> DataFrame:
    """``groups.SUPPORT`` with names: the columns of ``group_matches``. A path is one of the group's own."""
    spark = support.sparkSession
    paths = images.groupBy("image_id", F.col(f"`{column}`").cast("string").alias("group_value"))
    named = paths.agg(F.min("path").alias("path")).withColumn("image_key", image_key("image_id"))
    return (
        support.join(F.broadcast(_numbered(spark, asked)), on="query_row", how="inner")
        .join(named, on=["image_key", "group_value"], how="inner")
        .withColumn("group_column", F.lit(column))
    )


def write_file(table: pa.Table, output: str) -> None:
    """A table as ``.csv`` or ``.parquet``, whole or not at all."""
    path = Path(output)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if output.endswith(".csv"):
            pyarrow.csv.write_csv(table, part)
        else:
            pyarrow.parquet.write_table(table, part)
        part.replace(path)
    except OSError as e:
        raise UserError(f"--output {output}: {e.strerror or e}; name a file in a folder that can be written") from e


def _gallery(
    warehouse: Warehouse, projection: Projection, images: DataFrame, config: SearchConfig
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


def _files_read(warehouse: Warehouse, projection: Projection, wanted: Search) -> dict[str, str]:
    """``files_read=12 of 250``: what the filter on clusters leaves of the table's files."""
    if wanted.book is None or wanted.nprobe is None:
        return {}
    nearest = nearest_clusters(wanted.queries, wanted.book.centroids, wanted.book.cluster_ids, wanted.nprobe)
    vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id)
    return {"files_read": f"{len(visited(vectors, nearest).inputFiles())} of {len(vectors.inputFiles())}"}


def _threshold(warehouse: Warehouse, projection: Projection) -> float | None:
    """The calibrated threshold of this projection, if there is one."""
    if not warehouse.exists(CALIBRATIONS):
        return None
    row = warehouse.read(CALIBRATIONS).where(F.col("projection_id") == projection.projection_id).first()
    return None if row is None else float(row["threshold"])


def _keep_metrics(warehouse: Warehouse, metrics: list[tuple[str, int, float]]) -> None:
    """Put this search's measured recall in the place of the last one's; an exact search has none."""
    mine = f"metric = '{RECALL_METRIC}'"
    if metrics or (warehouse.exists(METRICS) and warehouse.read(METRICS).where(mine).first() is not None):
        frame = warehouse.spark.createDataFrame(metrics, "metric string, k int, value double")
        warehouse.replace(METRICS, frame.coalesce(1), where=mine)


def _without_vector(warehouse: Warehouse, projection: Projection, config: SearchConfig) -> int:
    """Embedded images that ``compress`` has not seen."""
    mine = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == projection.encoder_id).select("image_id")
    have = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id).select("image_id")
    return int(mine.join(have, on="image_id", how="left_anti").count())


def _named(found: DataFrame, asked: Asked, images: DataFrame) -> DataFrame:
    spark = found.sparkSession
    named = images.groupBy("image_id").agg(F.min("path").alias("path")).withColumn("image_key", image_key("image_id"))
    return found.join(F.broadcast(_numbered(spark, asked)), on="query_row", how="inner").join(
        named, on="image_key", how="inner"
    )


def _numbered(spark: SparkSession, asked: Asked) -> DataFrame:
    """``query_row``, ``query_id``, ``query_path``."""
    return spark.createDataFrame(
        pa.table(
            {
                "query_row": np.arange(len(asked.ids), dtype=np.int32),
                "query_id": pa.array(asked.ids, pa.string()),
                "query_path": pa.array(asked.paths, pa.string()),
            }
        )
    )


def _by_query(rows: list[Any], keys: list[Any]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row, key in zip(rows, keys, strict=True):
        found.setdefault(row, []).append(key)
    return found
