"""Search side by side, in one run: this join, FAISS, a NumPy loop, and Spark 4.2's own ways.

    PYTHONPATH=. python benchmarks/search.py --size small     # two minutes: 20,000 x 64
    PYTHONPATH=. python benchmarks/search.py --size medium    # 100,000 x 256; 1,000 and 10,000 queries
    PYTHONPATH=. python benchmarks/search.py --size large     # and 400,000
    PYTHONPATH=. python benchmarks/search.py --size full      # and 1,000,000
    PYTHONPATH=. python benchmarks/search.py --size medium --only memory    # very many queries, and very many answers

Top 10. ``this`` is the whole join: the Delta table is opened and read, the queries are broadcast, the answers merged
and ranked. ``faiss`` is ``IndexFlatIP.search`` alone, its vectors in memory already, on the same cores;
``faiss loading`` reads the same Delta table's files first. ``spark nearestByJoin`` and ``spark cross join``
(``vector_cosine_similarity``) evaluate every pair in the JVM, so they get a small part of the data, and ``this`` is
timed on that part beside them, each time after a run that starts the Python workers again: Spark ends those that wait a
minute for the JVM's contestants.
``pruned`` visits the clusters that reach a recall of 0.95 on other queries than those its recall is measured on.

Data: groups within groups with falling variance, as a PCA leaves embeddings; queries are gallery rows seen again.
All contestants take turns, one warm-up turn first; figures are medians. Claims end with ``ok`` or ``short``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import claim, forget_peak, peak_mb, save, side_by_side, spark_workers  # noqa: E402
from pyspark.sql import DataFrame, SparkSession, Window  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

from imgsearch.clusters import kmeans  # noqa: E402
from imgsearch.clusters.codebook import Codebook  # noqa: E402
from imgsearch.clusters.layout import FILE_VECTORS  # noqa: E402
from imgsearch.clusters.seeding import initial_centroids  # noqa: E402
from imgsearch.lake.memory import task_memory  # noqa: E402
from imgsearch.lake.session import build_session, n_slots  # noqa: E402
from imgsearch.retrieval.join import probed_rows, queries_per_pass, search  # noqa: E402
from imgsearch.retrieval.probes import choose_nprobe, nearest_clusters, recall_at_k  # noqa: E402
from imgsearch.vectors import Matrix, pack, unit, unpack  # noqa: E402

TOP_K = 10
PER_CLUSTER = 1_000
FEW = {"small": (5_000, 50), "medium": (50_000, 400)}  # rows and queries for what evaluates every pair in the JVM


class Case(NamedTuple):
    """One gallery and how many queries."""

    n: int
    dim: int
    n_queries: int
    repeats: int

    @property
    def name(self) -> str:
        return f"{self.n:_}x{self.n_queries:_}"


MEDIUM = [Case(100_000, 256, 1_000, 3), Case(100_000, 256, 10_000, 3)]
LARGE = [*MEDIUM, Case(400_000, 256, 1_000, 3), Case(400_000, 256, 10_000, 3)]
CASES = {
    "small": [Case(20_000, 64, 500, 3)],
    "medium": MEDIUM,
    "large": LARGE,
    "full": [*LARGE, Case(1_000_000, 256, 1_000, 3), Case(1_000_000, 256, 10_000, 3)],
}


class Gallery(NamedTuple):
    """``vectors`` (n, dim) in the order of the files of the Delta table at ``path``; row i has the id ``an_id(i)``."""

    path: str
    vectors: Matrix
    book: Codebook


def an_id(row: int) -> str:
    """A sha-256 by its looks: its first digits count the rows."""
    return f"{row:015x}{'0' * 49}"


def drawn(n: int, dim: int, seed: int = 0) -> Matrix:
    """Unit vectors in groups within groups of unlike sizes, with directions of falling variance."""
    rng = np.random.default_rng(seed)
    fall = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    n_things = max(50, n // 200)
    kinds = rng.standard_normal((60, dim), np.float32) * fall
    things = kinds[rng.integers(60, size=n_things)] + 0.7 * rng.standard_normal((n_things, dim), np.float32) * fall
    popular = 1 / np.arange(20, n_things + 20)
    rows = np.empty((n, dim), np.float32)
    for start in range(0, n, 100_000):
        part = rows[start : start + 100_000]
        chosen = things[rng.choice(n_things, size=len(part), p=popular / popular.sum())]
        part[:] = unit(chosen + 0.5 * rng.standard_normal(part.shape, np.float32) * fall)
    return rows


def asked(gallery: Matrix, n: int) -> Matrix:
    """Gallery rows, seen again from elsewhere."""
    rng = np.random.default_rng(1)
    rows = gallery[rng.integers(0, len(gallery), n)]
    noise = rng.standard_normal(rows.shape, np.float32)
    return unit(rows + 0.4 * noise / np.sqrt(rows.shape[1]))


def in_clusters(rows: Matrix, n_clusters: int) -> tuple[Matrix, np.ndarray]:
    """Centroids, and the cluster of each row."""
    sample = rows[np.random.default_rng(2).permutation(len(rows))[: 32 * n_clusters]]
    start = initial_centroids(sample, n_clusters, np.random.default_rng(3), n_starts=1)
    centroids = kmeans.fit([sample], start, 5).centroids
    parts = (kmeans.assign(rows[s : s + 20_000], centroids).cluster_ids for s in range(0, len(rows), 20_000))
    return centroids, np.concatenate(list(parts))


def laid_out(spark: SparkSession, n: int, dim: int, folder: str) -> Gallery:
    """A Delta table of ``n`` vectors, laid out by cluster as the job ``cluster`` does."""
    rows = drawn(n, dim)
    n_clusters = max(16, n // PER_CLUSTER)
    centroids, clusters = in_clusters(rows, n_clusters)
    order = np.argsort(clusters, kind="stable")
    rows, clusters = rows[order], clusters[order]
    path = f"{folder}/vectors_{n}"
    os.makedirs(path)
    for number, start in enumerate(range(0, n, FILE_VECTORS)):
        part = slice(start, min(start + FILE_VECTORS, n))
        table = pa.table(
            {
                "image_id": [an_id(i) for i in range(part.start, part.stop)],
                "cluster_id": pa.array(clusters[part], pa.int32()),
                "vector": pack(rows[part]),
            }
        )
        pq.write_table(table, f"{path}/part-{number:05d}.parquet", compression="snappy")
    spark.sql(f"CONVERT TO DELTA parquet.`{path}`")
    return Gallery(path, rows, Codebook(np.arange(n_clusters), centroids, np.full(n_clusters, -1, np.float32)))


def drained(frame: DataFrame) -> None:
    """All rows computed, none kept."""
    frame.write.format("noop").mode("overwrite").save()


def answers(frame: DataFrame, n_queries: int) -> list[list[int]]:
    """Row numbers found, by query."""
    table = frame.select("query_row", "image_key").toArrow()
    found: list[list[int]] = [[] for _ in range(n_queries)]
    for query, key in zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True):
        found[query].append(key)
    return found


def this(spark: SparkSession, gallery: Gallery, queries: Matrix) -> None:
    drained(search(queries, spark.read.format("delta").load(gallery.path), TOP_K))


def faiss_alone(index: faiss.IndexFlatIP, queries: Matrix) -> None:
    index.search(queries, TOP_K)


def faiss_loading(gallery: Gallery, queries: Matrix) -> None:
    index = faiss.IndexFlatIP(queries.shape[1])
    ids = []
    for path in sorted(Path(gallery.path).glob("*.parquet")):
        table = pq.read_table(path, columns=["image_id", "vector"])
        ids.append(table.column("image_id"))
        index.add(unpack(table.column("vector")))
    index.search(queries, TOP_K)


def numpy_loop(gallery: Gallery, queries: Matrix) -> None:
    """A product a block of 4,096 rows, the best of each block kept beside the best so far."""
    best = np.full((len(queries), TOP_K), -np.inf, np.float32)
    ids = np.full((len(queries), TOP_K), -1, np.int64)
    for start in range(0, len(gallery.vectors), 4_096):
        scores = np.concatenate([best, queries @ gallery.vectors[start : start + 4_096].T], axis=1)
        kept = np.argpartition(-scores, TOP_K, axis=1)[:, :TOP_K]
        here = kept - TOP_K + start
        ids = np.where(kept < TOP_K, np.take_along_axis(ids, np.minimum(kept, TOP_K - 1), 1), here)
        best = np.take_along_axis(scores, kept, 1)


def pruned(spark: SparkSession, gallery: Gallery, queries: Matrix, nprobe: int) -> DataFrame:
    nearest = nearest_clusters(queries, gallery.book.centroids, gallery.book.cluster_ids, nprobe)
    return search(queries, spark.read.format("delta").load(gallery.path), TOP_K, nearest=nearest)


def spark_tables(spark: SparkSession, rows: Matrix, queries: Matrix) -> tuple[DataFrame, DataFrame]:
    """Queries and gallery as arrays of floats, cached."""

    def frame(rows: Matrix, name: str) -> DataFrame:
        table = pa.table({name: np.arange(len(rows)), f"{name}_vector": pa.array(list(rows), pa.list_(pa.float32()))})
        cached = spark.createDataFrame(table).repartition(n_slots(spark)).persist()
        cached.count()
        return cached

    return frame(queries, "query"), frame(rows, "image")


def nearest_by_join(queries: DataFrame, images: DataFrame) -> None:
    score = F.call_function("vector_inner_product", queries["query_vector"], images["image_vector"])
    drained(queries.nearestByJoin(images, score, TOP_K, "exact", "similarity").select("query", "image"))


def cross_join(queries: DataFrame, images: DataFrame) -> None:
    score = F.call_function("vector_cosine_similarity", F.col("query_vector"), F.col("image_vector"))
    scored = queries.crossJoin(images).select("query", "image", score.alias("score"))
    rank = F.row_number().over(Window.partitionBy("query").orderBy(F.desc("score"), "image"))
    drained(scored.withColumn("rank", rank).where(F.col("rank") <= TOP_K))


def compare(spark: SparkSession, gallery: Gallery, case: Case) -> dict[str, object]:
    """Exact search: this, FAISS and NumPy."""
    print(f"\n{case.n:,} x {case.dim}, {case.n_queries:,} queries", flush=True)
    queries = asked(gallery.vectors, case.n_queries)
    index = faiss.IndexFlatIP(case.dim)
    index.add(gallery.vectors)
    this(spark, gallery, queries)  # warm
    runs = side_by_side(
        {
            "this": (case.repeats, lambda: this(spark, gallery, queries)),
            "faiss": (case.repeats, lambda: faiss_alone(index, queries)),
            "faiss loading": (case.repeats, lambda: faiss_loading(gallery, queries)),
            "numpy": (min(case.repeats, 1 if case.n * case.n_queries >= 10**9 else case.repeats), lambda: numpy_loop(gallery, queries)),  # noqa: E501
        }
    )  # fmt: skip
    for pid in spark_workers():
        forget_peak(pid)
    this(spark, gallery, queries)
    worker_mb = max(peak_mb(pid) for pid in spark_workers())
    print(f"    a worker's peak: {worker_mb:.0f} MB")
    some = queries[:200]
    mine = answers(search(some, spark.read.format("delta").load(gallery.path), TOP_K), len(some))
    same = recall_at_k(mine, index.search(some, TOP_K)[1].tolist())
    claims = [claim(f"{case.name} same answers as faiss", same, 0.999)]
    for peer, goal in (("faiss", 1.0), ("faiss loading", 1.25), ("numpy", 1.0)):
        claims.append(claim(f"{case.name} times {peer}", runs[peer].wall / runs["this"].wall, goal))
    return {"case": case._asdict(), "figures": {n: [r.seconds, r.cpu] for n, r in runs.items()}, "claims": claims,
            "worker_mb": worker_mb}  # fmt: skip


def compare_memory(results: list[dict[str, Any]]) -> dict[str, object]:
    """A worker's memory with the largest gallery over that with the smallest, for as many queries."""
    peaks = {(r["case"]["n_queries"], r["case"]["n"]): r["worker_mb"] for r in results if "worker_mb" in r}
    claims = []
    for n_queries in sorted({q for q, _ in peaks}):
        sizes = sorted(n for q, n in peaks if q == n_queries)
        if len(sizes) == 1:  # nothing to compare with
            continue
        growth = peaks[n_queries, sizes[-1]] / peaks[n_queries, sizes[0]]
        name = f"{n_queries:_} worker memory {sizes[-1]:_} over {sizes[0]:_}"
        claims.append(claim(name, growth, 1.1, at_least=False))
    return {"claims": claims}


def compare_pruned(spark: SparkSession, gallery: Gallery, case: Case) -> dict[str, object]:
    """Pruned against exact: recall, time for all queries, bytes for one."""
    queries = asked(gallery.vectors, case.n_queries)
    book, n_clusters = gallery.book, len(gallery.book.cluster_ids)
    exact = answers(search(queries, spark.read.format("delta").load(gallery.path), TOP_K), len(queries))
    half = min(100, len(queries) // 2)
    order = nearest_clusters(queries[:half], book.centroids, book.cluster_ids, n_clusters)
    frame = spark.read.format("delta").load(gallery.path)
    home = np.asarray(frame.select("image_id", "cluster_id").toArrow().sort_by("image_id").column("cluster_id"))
    places = [int(np.flatnonzero(order[q] == home[key])[0]) for q in range(half) for key in exact[q]]
    whose = np.array([q for q in range(half) for _ in exact[q]])
    nprobe = choose_nprobe(whose, np.array(places), 0.95, n_clusters)
    print(f"\npruned: {case.n:,} in {n_clusters} clusters, {case.n_queries:,} queries, nprobe {nprobe}", flush=True)
    runs = side_by_side(
        {
            "exact": (case.repeats, lambda: this(spark, gallery, queries)),
            "pruned": (case.repeats, lambda: drained(pruned(spark, gallery, queries, nprobe))),
        }
    )
    found = answers(pruned(spark, gallery, queries, nprobe), len(queries))
    every = sum(os.path.getsize(f.removeprefix("file:")) for f in frame.inputFiles())
    shares = []
    for query in queries[:20]:
        nearest = nearest_clusters(query[None], book.centroids, book.cluster_ids, nprobe)
        few = probed_rows(frame, nearest).inputFiles()
        shares.append(sum(os.path.getsize(f.removeprefix("file:")) for f in few) / every)
    name = f"{case.name} pruned"
    claims = [
        claim(f"{name} recall@10", recall_at_k(found[half:], exact[half:]), 0.95),
        claim(f"{name} share of the exact time", runs["pruned"].wall / runs["exact"].wall, 0.2, at_least=False),
        claim(f"{name} share of the exact CPU", runs["pruned"].work / runs["exact"].work, 0.2, at_least=False),
        claim(f"{name} share of the bytes for one query", float(np.median(shares)), 0.1, at_least=False),
    ]
    return {"case": case._asdict(), "nprobe": nprobe, "clusters": n_clusters, "bytes": shares, "claims": claims,
            "figures": {n: [r.seconds, r.cpu] for n, r in runs.items()}}  # fmt: skip


def compare_large(spark: SparkSession, gallery: Gallery) -> dict[str, object]:
    """Very many queries, and very many answers a query: seconds, and a worker's peak memory beside its share.

    How many go in one pass is printed: where that is all of them, as with 24 GB, nothing is said about several passes.
    """
    room = task_memory(spark) / 2**20
    claims, figures = [], {}
    frame = spark.read.format("delta").load(gallery.path)
    for n_queries, top_k in ((100_000, TOP_K), (2_000, 10_000)):
        queries = asked(gallery.vectors, n_queries)
        per_pass = queries_per_pass(spark, top_k, queries.shape[1])
        for pid in spark_workers():
            forget_peak(pid)
        run = side_by_side({"this": (1, lambda q=queries, k=top_k: drained(search(q, frame, k)))})["this"]
        worker_mb = max(peak_mb(pid) for pid in spark_workers())
        print(f"{len(gallery.vectors):,} vectors, {n_queries:,} queries, top {top_k:,}: {run}, {per_pass:,} a pass")
        figures[f"{n_queries}_{top_k}"] = [run.seconds, run.cpu, per_pass, worker_mb]
        claims.append(claim(f"{n_queries:_} queries top {top_k:_} worker MB", worker_mb, room, at_least=False))
    return {"figures": figures, "claims": claims}


def compare_spark(
    spark: SparkSession, gallery: Gallery, few: tuple[int, int], repeats: int, folder: str
) -> dict[str, object]:
    """Spark's own ways, and this, on a small part."""
    n_rows, n_queries = few
    print(f"\nSpark's own: {n_rows:,} rows, {n_queries} queries", flush=True)
    rows, asked_few = gallery.vectors[:: len(gallery.vectors) // n_rows][:n_rows], asked(gallery.vectors, n_queries)
    queries, images = spark_tables(spark, rows, asked_few)
    path = f"{folder}/few_{len(gallery.vectors)}"
    table = pa.table({"image_id": [an_id(i) for i in range(len(rows))], "vector": pack(rows)})
    spark.createDataFrame(table).coalesce(n_slots(spark)).write.format("delta").save(path)
    small = Gallery(path, rows, gallery.book)
    this(spark, small, asked_few)
    runs = side_by_side(
        {
            "workers started": (repeats, lambda: this(spark, small, asked_few)),
            "this": (repeats, lambda: this(spark, small, asked_few)),
            "spark nearestByJoin": (2, lambda: nearest_by_join(queries, images)),
            "spark cross join": (2, lambda: cross_join(queries, images)),
        }
    )
    claims = [
        claim(f"few rows times {peer}", runs[peer].wall / runs["this"].wall, goal)
        for peer, goal in (("spark nearestByJoin", 50), ("spark cross join", 50))
    ]
    return {"rows": n_rows, "queries": n_queries, "claims": claims,
            "figures": {n: [r.seconds, r.cpu] for n, r in runs.items()}}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, default="small")
    parser.add_argument("--only", choices=("exact", "pruned", "spark", "memory"), help="one of the comparisons")
    parser.add_argument("--repeats", type=int)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    faiss.omp_set_num_threads(cores)
    spark = build_session(
        "benchmark search", spark__master=f"local[{cores}]", spark__driver__memory="4g",
        spark__sql__shuffle__partitions=str(cores), spark__ui__showConsoleProgress="false",
    )  # fmt: skip
    results: list[dict[str, Any]] = []
    few = FEW["small" if given.size == "small" else "medium"]
    with tempfile.TemporaryDirectory(prefix="imgsearch-search-") as folder:
        galleries: dict[int, Gallery] = {}
        for case in CASES[given.size]:
            if given.repeats:
                case = case._replace(repeats=given.repeats)
            if case.n not in galleries:
                galleries.clear()  # one in memory at a time
                galleries[case.n] = laid_out(spark, case.n, case.dim, folder)
                if not results and given.only in (None, "spark"):
                    results.append(compare_spark(spark, galleries[case.n], few, case.repeats, folder))
                if not any("n_large" in r for r in results) and given.only == "memory":
                    results.append({"n_large": case.n, **compare_large(spark, galleries[case.n])})
            if given.only in (None, "exact"):
                results.append(compare(spark, galleries[case.n], case))
            if given.only in (None, "pruned"):
                results.append(compare_pruned(spark, galleries[case.n], case))
        results.append(compare_memory(results))
    save("_".join(["search", given.size, *([given.only] if given.only else [])]), {"results": results})


if __name__ == "__main__":
    main()
