"""What can be searched for: images (files or a table), vectors, or images that are in the gallery already."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import SearchConfig, ways_of
from imgsearch.encoders.encoder import Encoder, same_encoder
from imgsearch.encoders.udf import augment_udf, broadcast_graph, embed
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.sources import first_paths, read_source
from imgsearch.keys import order_keys
from imgsearch.lake.csv_files import read_csv
from imgsearch.lake.files import with_content
from imgsearch.lake.lost_workers import was_lost
from imgsearch.lake.quarantine import quarantine, without_direction
from imgsearch.lake.store import TableStore, read_any
from imgsearch.projections.projecting import compress
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import EncoderRecord, gallery_of
from imgsearch.retrieval.boxed_queries import BOX_COLUMNS, answered, boxed_files, cut_boxes, has_boxes
from imgsearch.retrieval.columns import faults_in, refuse_faults, refuse_repeated, vector_column_of
from imgsearch.retrieval.frames import vector_expression
from imgsearch.tables import IMAGES
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Ids, Matrix, unit_rows, unpack

MAX_BYTES = 1_000_000_000
OWN_IMAGE = re.compile(r"([0-9a-f]{64})(#.*)?")  # an image, and perhaps a part of it


class QueryBatch(NamedTuple):
    """The queries: ``ids`` and ``paths`` in the order of ``vectors`` (n, dim), and how many rows were given."""

    ids: list[str]
    paths: list[str | None]
    vectors: Matrix
    rows_in: int

    @property
    def own(self) -> Ids:
        """(n,) int64: the key of each query's own image in the gallery; ``NOBODY`` where its id is no sha-256."""
        images = {i: match[1] for i, name in enumerate(self.ids) if (match := OWN_IMAGE.fullmatch(name))}
        keys = np.full(len(self.ids), NOBODY, np.int64)
        keys[list(images)] = order_keys(pa.array(list(images.values()), pa.string()))
        return keys


def read_queries(
    spark: SparkSession, warehouse: TableStore, encoder: EncoderRecord, projection: Projection, config: SearchConfig
) -> QueryBatch:
    """The queries that ``config.queries`` names, as vectors of this projection.

    Raises ``UserError`` where they cannot be compared with the gallery; single images that cannot go to ``quarantine``.
    """
    table = _csv_table(spark, config.queries) if is_csv(config.queries) else read_any(spark, config.queries)
    columns = {c.lower() for c in table.columns} if table is not None else set()
    if table is not None and "vector" in columns:
        return _from_vectors(projection, config, table)
    if table is not None and has_boxes(table.columns) and columns & {"content", "path", "image_id"}:
        if config.verify:
            raise UserError(
                f"--queries {config.queries}: --verify looks at whole pictures; these queries have x, y, w, h; "
                "leave one of the two out"
            )
        return _from_files(warehouse, boxed_files(warehouse, table, MAX_BYTES), encoder, projection, config)
    if table is not None and "image_id" in columns and not columns & {"content", "path"}:
        return _from_ids(warehouse, projection, config, table)
    source, holds_content = read_source(spark, config.queries, "queries", with_folders=False)
    files = source.files if holds_content else with_content(spark, source.files, MAX_BYTES)
    files = files.select(F.coalesce("path", F.lit("a row of the table")).alias("path"), "content")
    return _from_files(warehouse, files, encoder, projection, config)


def is_csv(where: str) -> bool:
    """Whether ``--queries`` names a CSV."""
    return where.lower().endswith(".csv")


def _csv_table(spark: SparkSession, where: str) -> DataFrame:
    """A CSV with ``image_id``, or with ``path`` and a box, as texts. Raises ``UserError``."""
    try:
        rows = read_csv(where, "queries", ["image_id"])
    except UserError as error:
        try:
            rows = read_csv(where, "queries", ["path", *BOX_COLUMNS])
        except UserError:
            raise error from None
    names = ["image_id"] if "image_id" in rows[0] else ["path"]
    names += [name for name in rows[0] if name.lower() in BOX_COLUMNS] if has_boxes(list(rows[0])) else []
    return spark.createDataFrame(pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names}))


def _from_files(
    warehouse: TableStore, files: DataFrame, record: EncoderRecord, projection: Projection, config: SearchConfig
) -> QueryBatch:
    """``path``, ``content`` (or null) and, of parts of pictures, ``box`` and ``refusal`` → the queries."""
    encoder = same_encoder(record.encoder_id, record.name, record.settings)
    graph = broadcast_graph(warehouse.spark, encoder)
    try:
        table, rows_in = _usable(warehouse, files, encoder, graph, projection, config)
    finally:
        graph.unpersist()
    return QueryBatch(
        table.column("image_id").to_pylist(),
        table.column("path").to_pylist(),
        unpack(table.column("vector"), projection.n_components),
        rows_in,
    )


def _usable(
    warehouse: TableStore, files: DataFrame, encoder: Encoder, graph: Broadcast[bytes], projection: Projection,
    config: SearchConfig,
) -> tuple[pa.Table, int]:  # fmt: skip
    """``path``, ``image_id``, ``vector`` of the files that can be searched for, and how many there were."""
    embedded, rows_in, bad = _embedded(files, encoder, graph, config.augment)
    try:
        if bad:
            quarantine(warehouse, embedded.where(F.col("reason").isNotNull()), "search", encoder.encoder_id)
        if rows_in == bad:
            raise _nothing_usable(embedded, config.queries, rows_in)
        good = embedded.where(F.col("reason").isNull())
        if config.augment is not None:
            good = good.withColumn("embedding", F.coalesce("_mean", "embedding"))
        return _project(warehouse, good, projection, rows_in - bad), rows_in
    finally:
        embedded.unpersist()


def _embedded(
    files: DataFrame, encoder: Encoder, graph: Broadcast[bytes], augment: str | None
) -> tuple[DataFrame, int, int]:
    """The persisted rows of ``embed`` for ``files``, their number, and how many of them were refused.

    ``_mean`` is the mean embedding of the variants that ``augment`` names. A file can end its worker; where Spark does
    not try the task again, this does, with each file decoded in a process of its own.
    """
    try:
        return _embedded_within(DecodeLimits(), files, encoder, graph, augment)
    except Exception as error:
        if not was_lost(error):
            raise
    return _embedded_within(DecodeLimits(apart=True), files, encoder, graph, augment)


def _embedded_within(
    limits: DecodeLimits, files: DataFrame, encoder: Encoder, graph: Broadcast[bytes], augment: str | None
) -> tuple[DataFrame, int, int]:
    is_boxed = "box" in files.columns
    if is_boxed:
        files = cut_boxes(files, limits)
    if augment is not None:
        files = files.withColumn("_mean", augment_udf(encoder, graph, limits, ways_of(augment))("path", "content"))
    rows = embed(files, encoder, graph, limits).drop("content")
    rows = (answered(rows) if is_boxed else rows).persist()
    try:
        rows_in, bad = rows.agg(F.count("*"), F.count("reason")).collect()[0]
    except Exception:
        rows.unpersist()
        raise
    return rows, rows_in, bad


def _nothing_usable(embedded: DataFrame, where: str, rows_in: int) -> UserError:
    cause = embedded.groupBy("reason").count().orderBy(F.desc("count")).first()
    return UserError(
        f"--queries {where}: none of its {rows_in:,} files can be searched for"
        + (f" ({cause['reason']}: {cause['count']:,}; see 'quarantine')" if cause else "")
        + "; give a folder or table with images"
    )


def _project(warehouse: TableStore, embedded: DataFrame, projection: Projection, n: int) -> pa.Table:
    """``path``, ``image_id``, ``vector`` of ``n`` embedded queries; those without direction go to ``quarantine``."""
    vectors = compress(embedded.select("image_id", "embedding").dropDuplicates(["image_id"]), projection)
    named = embedded.select("path", "image_id").join(vectors, on="image_id", how="inner").persist()
    try:
        table = named.where(F.col("vector").isNotNull()).orderBy("path").toArrow()
        if table.num_rows < n:
            lost = without_direction(named.where(F.col("vector").isNull()))
            quarantine(warehouse, lost, "search", projection.encoder_id)
    finally:
        named.unpersist()
    return table


def _from_vectors(projection: Projection, config: SearchConfig, table: DataFrame) -> QueryBatch:
    """A table with ``vector`` of any type that the join takes, and ``query_id`` or ``image_id``, ``path``.

    A row without an id gets a number. Raises ``UserError`` for vectors that cannot be compared, and repeated ids.
    """
    what = f"--queries {config.queries}"
    columns = {c.lower(): c for c in table.columns}
    vector = vector_expression(*vector_column_of(table.dtypes, what, "vector"))
    if "projection_id" in columns:
        _refuse_other_projection(what, table.select(columns["projection_id"]), projection.projection_id)
    name = columns.get("query_id", columns.get("image_id"))
    rows = table.select(
        vector.alias("vector"),
        (F.col(name).cast("string") if name else F.lit(None).cast("string")).alias("id"),
        (F.col(columns["path"]) if "path" in columns else F.lit(None)).cast("string").alias("path"),
    )
    queries = rows.orderBy("id").toArrow().combine_chunks()
    if not queries.num_rows:
        raise UserError(f"{what}: has no rows; give one row a query")
    column, vectors = queries.column("id"), queries.column("vector").chunk(0)
    ids = [f"row {i + 1}" if value is None else value for i, value in enumerate(column.to_pylist())]
    refuse_repeated(what, pa.array(ids, pa.string()))  # two could not be told apart in ``matches``
    refuse_faults(what, faults_in(pa.array(ids, pa.string()), vectors, projection.n_components))
    return QueryBatch(ids, queries.column("path").to_pylist(), unit_rows(vectors, projection.n_components), len(ids))


def _refuse_other_projection(what: str, ids: DataFrame, projection_id: str) -> None:
    """Raises ``UserError`` where query vectors are of another projection than the gallery's."""
    others = [r[0] for r in ids.distinct().limit(3).collect()]
    if others and others != [projection_id]:
        other = next(o for o in others if o != projection_id)
        raise UserError(
            f"{what}: has vectors of projection {other}, the gallery's are of {projection_id}; "
            "search for the images themselves, or project them again"
        )


def _from_ids(warehouse: TableStore, projection: Projection, config: SearchConfig, requested: DataFrame) -> QueryBatch:
    """Images of the gallery, by id. Ids without a vector go to ``quarantine``."""
    if config.augment is not None:
        raise UserError.option("augment", config.augment, "queries given by id have no pixels here; give image files")
    column = next(c for c in requested.columns if c.lower() == "image_id")
    ids = (
        requested.select(F.col(column).cast("string").alias("image_id"))
        .where(F.col("image_id") != "")
        .distinct()
        .persist()
    )
    try:
        rows_in = ids.count()
        gallery = gallery_of(
            warehouse, projection.projection_id, lambda v: v.join(F.broadcast(ids), "image_id", "left_semi")
        )
        files = warehouse.read(IMAGES).join(F.broadcast(ids), on="image_id", how="left_semi")
        named = gallery.join(first_paths(files), on="image_id", how="left").select("image_id", "path", "vector")
        table = named.orderBy("image_id").toArrow()
        if not table.num_rows:
            first = ids.orderBy("image_id").first()
            raise UserError(
                f"--queries {config.queries}: none of its {rows_in:,} image_ids has a vector in {warehouse.location}"
                + (f" (first: {first['image_id']!r})" if first else "")
                + f"; ingest and embed them, then run `{LAUNCHER} compress --warehouse {warehouse.location}`"
            )
        if rows_in > table.num_rows:
            with_vector = warehouse.spark.createDataFrame(table.select(["image_id"]))
            unknown = ids.join(with_vector, on="image_id", how="left_anti").select(
                F.col("image_id").alias("path"), "image_id", F.lit("unknown_id").alias("reason"),
                F.lit("no image of the gallery has this id").alias("detail"),
            )  # fmt: skip
            quarantine(warehouse, unknown, "search", projection.encoder_id)
    finally:
        ids.unpersist()
    vectors = unpack(table.column("vector"), projection.n_components)
    return QueryBatch(table.column("image_id").to_pylist(), table.column("path").to_pylist(), vectors, rows_in)
