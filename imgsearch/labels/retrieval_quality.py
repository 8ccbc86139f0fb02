"""Leave-one-out retrieval quality of labelled vectors, counted where the vectors are.

Up to ``EXACT`` labelled images are broadcast, and every task ranks all of them for its queries. Of more, the queries
are broadcast, a pass at a time, and every task counts what it holds (``tally``). Either way one ranking serves every
cut, and the driver gets sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.keys import order_keys
from imgsearch.labels.tally import BINS, Tally
from imgsearch.lake.batches import Batches
from imgsearch.lake.memory import task_memory
from imgsearch.lake.session import n_slots
from imgsearch.retrieval.diffusion import spread_each
from imgsearch.retrieval.expanding import expanded
from imgsearch.retrieval.expansion import expand_each, nearest_others
from imgsearch.retrieval.graph import DEGREE, Lists, lists_of
from imgsearch.retrieval.hash_ranges import hash_between
from imgsearch.retrieval.join import search
from imgsearch.retrieval.spreading import best_of
from imgsearch.topk.quality import Retrieval, retrieval
from imgsearch.vectors import Ids, Matrix, unpack

CUTS = (1, 5, 10)
#: Labelled images that are ranked as a whole: 30 MB at 256-d.
EXACT = 30_000
#: Queries of one pass over a larger gallery, at most: 33 kB each in a worker.
QUERIES_A_PASS = 4_096
#: Queries in one row of a task's counts: 1 MB.
BLOCK = 32
VALUES = ("ap", "ap_low", "ap_high", *(f"precision_{c}" for c in CUTS), *(f"hit_rate_{c}" for c in CUTS))
VALUE_SCHEMA = ", ".join(f"{name} double" for name in VALUES)
PART_SCHEMA = "block int, tally binary"

Values = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean over ``n`` queries, and its standard error where they are a sample (else 0)."""

    value: float
    error: float


class Labelled(NamedTuple):
    """``frame``: ``image_id``, ``class`` (bigint), ``vector`` of ``size`` images; of them ``n_queries`` ask."""

    frame: DataFrame
    size: int
    n_queries: int


def quality(labelled: Labelled, expand: int = 0, *, spread: bool = False) -> dict[str, Estimate]:
    """``VALUES`` → the mean over all queries that have a relevant image; empty where none has.

    ``expand``: each image asks with so many matches (``retrieval.expansion``), and its nearest stays first. ``spread``:
    by diffusion (``retrieval.diffusion``) on the labelled images, of which there are at most ``EXACT`` (see ``part``).
    A cut that is no smaller than the gallery is left out. Raises ``ValueError`` for more with ``spread``.
    """
    if spread and labelled.size > EXACT:
        raise ValueError(f"{labelled.size} labelled images: diffusion is measured on {EXACT} at most")
    frames = _whole(labelled, expand, spread) if labelled.size <= EXACT else _passes(labelled, expand)
    sums = np.zeros((3, len(VALUES)))
    for frame in frames:
        sums += _sums(frame)
    share = min(1.0, labelled.n_queries / labelled.size)
    estimates = {}
    for name, (n, total, squares) in zip(VALUES, sums.T.tolist(), strict=True):
        if n:
            variance = max(0.0, squares / n - (total / n) ** 2)
            estimates[name] = Estimate(total / n, float(np.sqrt(variance / n * (1 - share))))
    return estimates


def part(labelled: Labelled) -> Labelled:
    """The labelled images with the lowest hashes, about ``EXACT`` of them and not more; all of fewer."""
    if labelled.size <= EXACT:
        return labelled
    frame = labelled.frame.where(hash_between(0, EXACT / labelled.size)).orderBy("image_id").limit(EXACT)
    size = frame.count()
    return Labelled(frame, size, min(size, labelled.n_queries))


def _sums(frame: DataFrame) -> Values:
    """(3, n_values): count, sum and sum of squares; one row from the executors."""
    parts = [f(c) for f in (F.count, F.sum, lambda c: F.sum(F.col(c) * F.col(c))) for c in VALUES]
    row = frame.agg(*(part.alias(str(i)) for i, part in enumerate(parts))).collect()[0]
    return np.array([0.0 if value is None else value for value in row]).reshape(3, len(VALUES))


class Whole(NamedTuple):
    """What is broadcast of a small gallery: (n, dim) ``vectors``, (n,) ``classes``, the ``rows`` that ask, how many
    matches a query takes in, and the ``lists`` of neighbours to spread on."""

    vectors: Matrix
    classes: Ids
    rows: Ids
    expand: int
    lists: Lists | None


def _whole(labelled: Labelled, expand: int, spread: bool) -> Iterator[DataFrame]:
    spark = labelled.frame.sparkSession
    table = labelled.frame.orderBy("image_id").toArrow()  # at most EXACT rows
    rows = np.arange(min(labelled.n_queries, table.num_rows))  # the lowest hashes are a sample
    vectors = unpack(table.column("vector"))
    lists = lists_of(vectors, DEGREE) if spread else None
    whole = Whole(vectors, table.column("class").to_numpy(), rows, expand, lists)
    shared = spark.sparkContext.broadcast(whole)
    n_blocks = max(1, min(n_slots(spark) * 4, len(whole.rows) // 64))
    yield spark.range(n_blocks, numPartitions=n_blocks).mapInArrow(rank_blocks(shared, n_blocks), VALUE_SCHEMA)


def rank_blocks(whole: Broadcast[Whole], n_blocks: int) -> Callable[[Batches], Batches]:
    """(block) batches → ``VALUE_SCHEMA`` batches of that block's queries, from the full ranking."""

    def rank(batches: Batches) -> Batches:
        vectors, classes, rows, expand, lists = whole.value
        cuts = [cut for cut in CUTS if cut < len(vectors)]
        for batch in batches:
            for block in batch.column(0).to_pylist():
                own = np.array_split(rows, n_blocks)[block]
                queries = expand_each(vectors, expand, own) if expand else None
                ahead = nearest_others(vectors, 1, own).ids if expand else None
                ahead = spread_each(lists, own) if lists is not None else ahead
                yield _values(retrieval(vectors, classes, cuts, queries, own, ahead))

    return rank


def _values(result: Retrieval) -> pa.RecordBatch:
    ap = result.average_precision
    columns: dict[str, Values] = {"ap": ap, "ap_low": ap, "ap_high": ap}
    for name, values in (("precision", result.precision_at_k), ("hit_rate", result.hit_rate_at_k)):
        columns |= {f"{name}_{CUTS[place]}": values[:, place] for place in range(values.shape[1])}
    missing = pa.nulls(len(ap), pa.float64())
    arrays = [pa.array(columns[v], from_pandas=True) if v in columns else missing for v in VALUES]
    return pa.RecordBatch.from_arrays(arrays, names=list(VALUES))


class QueryPass(NamedTuple):
    """What is broadcast of one pass: (n, dim) ``queries``, (n,) their ``keys`` and ``classes``, and the keys of images
    that come ``first``, or ``None``."""

    queries: Matrix
    keys: Ids
    classes: Ids
    first: Ids | None = None


def _passes(labelled: Labelled, expand: int) -> Iterator[DataFrame]:
    """Values of the queries, ``QUERIES_A_PASS`` at a time."""
    frame = labelled.frame
    dim = len(frame.select("vector").limit(1).collect()[0][0]) // 4
    most = max(64, min(QUERIES_A_PASS, task_memory(frame.sparkSession) // 4 // (8 * BINS + 8 * dim)))
    n_passes = -(-labelled.n_queries // most)
    for number in range(n_passes):
        share = labelled.n_queries / labelled.size / n_passes
        table = frame.where(hash_between(number * share, (number + 1) * share)).orderBy("image_id").toArrow()
        queries_of_pass = QueryPass(
            unpack(table.column("vector"), dim), order_keys(table.column("image_id")), table.column("class").to_numpy()
        )
        if not len(queries_of_pass.keys):
            continue
        if expand:
            near = search(queries_of_pass.queries, frame, expand, own=queries_of_pass.keys).persist()
            first = best_of(near, len(queries_of_pass.keys), 1).keys[:, 0]
            moved = expanded(queries_of_pass.queries, near, frame, expand)
            queries_of_pass = queries_of_pass._replace(queries=moved, first=first)
            near.unpersist()
        yield _one_pass(frame, queries_of_pass)


def _one_pass(frame: DataFrame, queries_of_pass: QueryPass) -> DataFrame:
    spark = frame.sparkSession
    shared = spark.sparkContext.broadcast(queries_of_pass)
    slots = n_slots(spark)
    parts = (
        frame.select("image_id", "class", "vector").coalesce(slots * 2).mapInArrow(count_batches(shared), PART_SCHEMA)
    )
    n_blocks = -(-len(queries_of_pass.keys) // BLOCK)
    merged = parts.repartition(min(n_blocks, slots * 4), "block").sortWithinPartitions("block")
    return merged.mapInArrow(merge_tallies, VALUE_SCHEMA)


def count_batches(queries_of_pass: Broadcast[QueryPass]) -> Callable[[Batches], Batches]:
    """All (image_id, class, vector) batches of a task → its counts, ``BLOCK`` queries a row."""

    def count(batches: Batches) -> Batches:
        queries, own, classes, first = queries_of_pass.value
        tally = Tally.empty(len(own))
        for batch in batches:
            if len(batch):
                keys, row_classes = order_keys(batch.column(0)), batch.column(1).to_numpy()
                rows = unpack(batch.column(2), queries.shape[1])
                tally.look_at(queries, own, classes, rows, keys, row_classes, first)
        for block, start in enumerate(range(0, len(own), BLOCK)):
            data = tally.rows(slice(start, start + BLOCK)).to_bytes()
            columns = [pa.array([block], pa.int32()), pa.array([data], pa.binary())]
            yield pa.RecordBatch.from_arrays(columns, names=["block", "tally"])

    return count


def merge_tallies(batches: Batches) -> Batches:
    """``PART_SCHEMA`` batches in order of block → ``VALUE_SCHEMA`` batches."""
    current: int | None = None
    whole: Tally | None = None
    for batch in batches:
        for block, data in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
            tally = Tally.from_bytes(data.as_py())
            if block == current and whole is not None:
                whole = whole.merge(tally)
                continue
            if whole is not None:
                yield _counted(whole)
            current, whole = block, tally
    if whole is not None:
        yield _counted(whole)


def _counted(tally: Tally) -> pa.RecordBatch:
    counted = tally.quality()
    columns: list[Values] = [counted.ap, counted.ap_low, counted.ap_high]
    n_relevant_within = np.cumsum(counted.relevant, axis=1)
    columns += [n_relevant_within[:, cut - 1] / cut for cut in CUTS]
    columns += [(n_relevant_within[:, cut - 1] > 0).astype(np.float64) for cut in CUTS]
    alone = counted.n_relevant == 0
    return pa.RecordBatch.from_arrays([pa.array(c, mask=alone) for c in columns], names=list(VALUES))
