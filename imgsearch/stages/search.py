"""Search: query images → ``matches``, by a broadcast cosine top-k against ``vectors``.

The queries are broadcast as one matrix. A task keeps the best of each query over all its Arrow batches (level one) and
hands on one row per block of queries; a reducer merges the tasks' rows of a block (level two). So a reducer sees
``tasks x queries of a block x top_k`` numbers, packed, and nothing is ever sorted that cannot enter an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import SearchConfig
from imgsearch.core.encoder import Encoder, resolve
from imgsearch.core.keys import KEY_DIGITS, order_keys
from imgsearch.core.topk import RunningTopK, TopK, merge
from imgsearch.core.vectors import Matrix, unpack
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.batches import Batches
from imgsearch.lake.session import n_slots
from imgsearch.lake.warehouse import Warehouse
from imgsearch.stages.compress import compress
from imgsearch.stages.embed import broadcast_graph, embed
from imgsearch.stages.ingest import read_source
from imgsearch.stages.space import KnownEncoder, current_projection, vectors_of
from imgsearch.stages.summary import RunSummary, Stopwatch, finish
from imgsearch.tables import IMAGES, MATCHES, QUARANTINE

PARTIAL = "block int, k int, scores binary, keys binary"
FOUND = "query_row int, rank int, image_key bigint, score float"
#: Numbers (queries x top_k) in one row of a partial result.
BLOCK_CELLS = 65_536
#: Numbers (queries x top_k) that one pass over the gallery keeps in a worker: 12 bytes each.
PASS_CELLS = 20_000_000
MAX_BYTES = 1_000_000_000


class Queries(NamedTuple):
    """What is broadcast: ``vectors`` (n_queries, dim) float32 unit rows, and the cut."""

    vectors: Matrix
    top_k: int

    @property
    def block(self) -> int:
        """Queries in one row of a partial result."""
        return max(1, BLOCK_CELLS // self.top_k)


def run(spark: SparkSession, config: SearchConfig) -> RunSummary:
    """Search for ``config.queries`` and replace ``matches`` by what was found."""
    watch = Stopwatch()
    warehouse = Warehouse.open(spark, config.warehouse)
    known, projection = current_projection(warehouse, config.encoder)
    gallery = vectors_of(warehouse, projection.projection_id).select("image_id", "vector")
    size = gallery.count()
    if config.top_k > size:
        raise UserError.option("top_k", config.top_k, f"the gallery has {size:,} images; ask for {size:,} or fewer")
    encoder = same_encoder(known)
    source, _ = read_source(spark, config.queries, MAX_BYTES, "queries")
    files = (
        source.files
        if "content" in source.files.columns
        else source.files.withColumn("content", F.lit(None).cast("binary"))
    )
    graph = broadcast_graph(spark, encoder)
    asked = embed(files.select("path", "content"), encoder, graph).drop("content").persist()
    try:
        rows_in, bad = asked.agg(F.count("*"), F.count("reason")).first()
        if bad:
            _quarantine(warehouse, asked, encoder.encoder_id)
        if rows_in == bad:
            why = asked.groupBy("reason").count().orderBy(F.desc("count")).first()
            raise UserError(
                f"--queries {config.queries}: none of its {rows_in:,} files can be searched for"
                + (f" ({why['reason']}: {why['count']:,}; see 'quarantine')" if why else "")
                + "; give a folder or table with images"
            )
        good = asked.where(F.col("reason").isNull())
        vectors = good.select("path", "image_id").join(
            compress(good.select("image_id", "embedding").dropDuplicates(["image_id"]), projection), on="image_id"
        )
        table = vectors.where(F.col("vector").isNotNull()).orderBy("path").toArrow()
    finally:
        asked.unpersist()
    found = search(unpack(table.column("vector"), projection.n_components), gallery, config.top_k)
    matches = named_matches(found, table.select(["image_id", "path"]), warehouse.read(IMAGES)).persist()
    try:
        warehouse.replace(MATCHES, matches)
        n_matches = matches.count()
        if config.output is not None:
            write_file(matches.orderBy("query_path", "rank").toArrow(), config.output)
    finally:
        matches.unpersist()
        graph.unpersist()
    lost = rows_in - bad - table.num_rows
    return finish(
        warehouse, "search", watch, rows_in=rows_in, rows_out=table.num_rows, quarantined=bad + lost,
        details={"gallery": size, "top_k": config.top_k, "matches": n_matches, **({"output": config.output} if config.output else {})},
    )  # fmt: skip


def search(queries: Matrix, gallery: DataFrame, top_k: int) -> DataFrame:
    """The ``top_k`` most similar gallery vectors of every query, by cosine.

    ``queries``: (n_queries, dim) float32 unit rows. ``gallery``: ``image_id`` (sha-256 hex) and packed ``vector``.
    Returns ``query_row``, ``rank`` (from 1), ``image_key`` (see ``core.keys``), ``score``; score descending, then id
    ascending, however the gallery is partitioned. More queries than a worker has room for go in several passes.
    """
    per_pass = max(1, PASS_CELLS // top_k)
    passes = [
        _one_pass(queries[start : start + per_pass], gallery, top_k).withColumn("query_row", F.col("query_row") + start)
        for start in range(0, len(queries), per_pass)
    ]
    found = passes[0]
    for more in passes[1:]:
        found = found.unionByName(more)
    return found


def _one_pass(queries: Matrix, gallery: DataFrame, top_k: int) -> DataFrame:
    spark = gallery.sparkSession
    shared = spark.sparkContext.broadcast(Queries(np.ascontiguousarray(queries), top_k))
    slots = n_slots(spark)
    partial = gallery.select("image_id", "vector").coalesce(slots * 2).mapInArrow(partial_topk(shared), PARTIAL)
    n_blocks = -(-len(queries) // shared.value.block)
    return (
        partial.repartition(min(n_blocks, slots), "block")
        .groupBy("block")
        .applyInArrow(merge_blocks(shared.value.block), FOUND)
    )


def partial_topk(queries: Broadcast[Queries]) -> Callable[[Batches], Batches]:
    """Level one: all (image_id, vector) batches of a task → its best of each query, one row per block of queries."""

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        wanted = queries.value
        running: RunningTopK | None = None
        for batch in batches:
            if len(batch):
                running = running or RunningTopK(wanted.vectors, wanted.top_k)
                running.update(unpack(batch.column(1), wanted.vectors.shape[1]), order_keys(batch.column(0)))
        if running is not None:
            yield from _packed(running.result(), wanted.block)

    return find


def merge_blocks(block_size: int) -> Callable[[pa.Table], pa.Table]:
    """Level two: the rows of one block of queries, from all tasks → its final ranks."""

    def merge_block(table: pa.Table) -> pa.Table:
        top_k = table.column("k")[0].as_py()
        parts = [
            TopK(
                np.frombuffer(keys.as_py(), "<i8").reshape(-1, top_k),
                np.frombuffer(scores.as_py(), "<f4").reshape(-1, top_k),
            )
            for keys, scores in zip(table.column("keys"), table.column("scores"), strict=True)
        ]
        best = merge(parts, top_k)
        n_queries = len(best.ids)
        first = table.column("block")[0].as_py() * block_size
        kept = (best.ids >= 0).reshape(-1)
        columns = {
            "query_row": np.repeat(np.arange(first, first + n_queries, dtype=np.int32), top_k),
            "rank": np.tile(np.arange(1, top_k + 1, dtype=np.int32), n_queries),
            "image_key": best.ids.reshape(-1),
            "score": best.scores.reshape(-1),
        }
        return pa.table({name: pa.array(values[kept]) for name, values in columns.items()})

    return merge_block


def _packed(best: TopK, block: int) -> Iterator[pa.RecordBatch]:
    for number, start in enumerate(range(0, len(best.ids), block)):
        scores = best.scores[start : start + block].astype("<f4").tobytes()
        keys = best.ids[start : start + block].astype("<i8").tobytes()
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([number], pa.int32()), pa.array([best.ids.shape[1]], pa.int32()),
                pa.array([scores], pa.binary()), pa.array([keys], pa.binary()),
            ],
            names=["block", "k", "scores", "keys"],
        )  # fmt: skip


def named_matches(found: DataFrame, asked: pa.Table, images: DataFrame) -> DataFrame:
    """``search``'s rows with names in place of numbers: the columns of ``matches``.

    ``asked``: ``image_id`` and ``path`` of the queries, in the order of their rows.
    """
    spark = found.sparkSession
    numbered = asked.rename_columns(["query_id", "query_path"]).append_column(
        "query_row", pa.array(np.arange(asked.num_rows, dtype=np.int32))
    )
    named = images.groupBy("image_id").agg(F.min("path").alias("path")).withColumn("image_key", image_key("image_id"))
    return (
        found.join(F.broadcast(spark.createDataFrame(numbered)), on="query_row", how="inner")
        .join(named, on="image_key", how="inner")
        .select("query_id", "query_path", "rank", "image_id", "path", "score")
    )


def image_key(column: str) -> F.Column:
    """``core.keys.order_keys`` in SQL."""
    return F.conv(F.substring(column, 1, KEY_DIGITS), 16, 10).cast("bigint")


def same_encoder(known: KnownEncoder) -> Encoder:
    """The encoder that made the warehouse's embeddings, made again here. Raises ``UserError`` where it would differ."""
    import json

    settings = json.loads(known.settings)
    encoder = resolve(known.name, pooling=settings["pooling"], precision=settings["precision"])
    if encoder.encoder_id != known.encoder_id:
        differing = sorted(k for k in settings if settings[k] != encoder.settings.get(k))
        raise UserError(
            f"the embeddings were made by {known.encoder_id}, while {known.name} is {encoder.encoder_id} here "
            f"(other {', '.join(differing)}): vectors of two encoders are never compared; run `{LAUNCHER} embed` and `compress` again"
        )
    return encoder


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


def _quarantine(warehouse: Warehouse, asked: DataFrame, encoder_id: str) -> None:
    refused = asked.where(F.col("reason").isNotNull()).select(
        "path", "image_id", F.lit("search").alias("stage"), F.lit(encoder_id).alias("encoder_id"), "reason", "detail",
        F.current_timestamp().alias("quarantined_at"),
    )  # fmt: skip
    warehouse.merge(QUARANTINE, refused)
