"""Clustering side by side, in one run: this, Spark MLlib's KMeans (both solvers), scikit-learn and FAISS.

    PYTHONPATH=. python benchmarks/cluster.py --size small      # a minute: 20,000 x 64, 50 clusters
    PYTHONPATH=. python benchmarks/cluster.py --size medium     # 100,000 x 256, 100 clusters
    PYTHONPATH=. python benchmarks/cluster.py --size large      # 100,000 x 256, 100 and 1,000 clusters
    PYTHONPATH=. python benchmarks/cluster.py --size full       # and 1,000,000 x 256, 1,000 clusters: hours of MLlib

Every Spark contestant starts from the same Parquet file of packed vectors and its time includes reading it and its
start; scikit-learn and FAISS find their vectors in memory. All have 20 iterations and all cores. ``cost`` is the same
function for all: the sum over all vectors of 1 - cosine to the nearest centroid, centroids scaled to length one.
MLlib's default solver runs once where it takes minutes. Claims end with ``ok`` or ``short``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import claim, save, side_by_side  # noqa: E402
from pyspark.ml.clustering import KMeans  # noqa: E402
from pyspark.ml.functions import array_to_vector  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402
from sklearn.cluster import KMeans as SklearnKMeans  # noqa: E402

from imgsearch.clusters import kmeans  # noqa: E402
from imgsearch.clusters.blocks import in_blocks, read_sample  # noqa: E402
from imgsearch.clusters.cluster import PER_CLUSTER, SAMPLE  # noqa: E402
from imgsearch.clusters.rounds import fit, row_lists  # noqa: E402
from imgsearch.lake.batches import sampled_share  # noqa: E402
from imgsearch.lake.session import build_session  # noqa: E402
from imgsearch.vectors import Matrix, pack, unit  # noqa: E402

ROUNDS, SEED = 20, 7


class Case(NamedTuple):
    """One comparison."""

    n: int
    dim: int
    n_clusters: int
    repeats: int
    slow_repeats: int  # of MLlib's default solver

    @property
    def name(self) -> str:
        return f"{self.n:_}x{self.dim}_{self.n_clusters}"


CASES = {
    "small": [Case(20_000, 64, 50, 3, 1)],
    "medium": [Case(100_000, 256, 100, 2, 1)],
    "large": [Case(100_000, 256, 100, 3, 1), Case(100_000, 256, 1000, 3, 1)],
    "full": [Case(100_000, 256, 100, 3, 1), Case(100_000, 256, 1000, 3, 1), Case(1_000_000, 256, 1000, 2, 1)],
}


def grown(n: int, dim: int, seed: int = 0) -> Matrix:
    """Vectors with groups within groups of unlike sizes, and directions of falling variance, as a PCA leaves them."""
    rng = np.random.default_rng(seed)
    fall = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    kinds = rng.standard_normal((60, dim), np.float32) * fall
    things = kinds[rng.integers(60, size=1500)] + 0.7 * rng.standard_normal((1500, dim), np.float32) * fall
    popular = 1 / np.arange(1, 1501)
    rows = np.empty((n, dim), np.float32)
    for start in range(0, n, 100_000):
        part = rows[start : start + 100_000]
        chosen = things[rng.choice(1500, size=len(part), p=popular / popular.sum())]
        part[:] = unit(chosen + 0.8 * rng.standard_normal(part.shape, np.float32) * fall)
    return rows


def cost(rows: Matrix, centroids: Matrix) -> float:
    """Sum of 1 - cosine to the nearest centroid."""
    centroids = unit(np.asarray(centroids, np.float32))
    parts = (kmeans.assign(rows[s : s + 50_000], centroids).scores for s in range(0, len(rows), 50_000))
    return float(sum((1 - scores.astype(np.float64)).sum() for scores in parts))


def ours(spark: SparkSession, path: str, case: Case) -> Matrix:
    vectors = spark.read.parquet(path)
    total = vectors.count()
    share = sampled_share("image_id", max(SAMPLE, PER_CLUSTER * case.n_clusters), total, SEED)
    blocks = in_blocks(vectors, case.dim, share).persist()
    sample = read_sample(blocks, case.dim).vectors
    found = fit(blocks, sample, case.n_clusters, max_iterations=ROUNDS, seed=SEED)
    blocks.unpersist()
    print(f"    {found.n_rounds} rounds over all", flush=True)
    return found.centroids


def mllib(spark: SparkSession, path: str, case: Case, solver: str) -> Matrix:
    """Its vectors cached beforehand within the time, as its own documentation advises; unpacked by our fastest way."""
    blocks = in_blocks(spark.read.parquet(path), case.dim).select("vectors")
    lists = blocks.mapInArrow(row_lists(case.dim), "row array<double>")
    frame = lists.select(array_to_vector(F.col("row")).alias("features")).persist()
    model = KMeans(k=case.n_clusters, distanceMeasure="cosine", maxIter=ROUNDS, seed=SEED, solver=solver).fit(frame)
    frame.unpersist()
    return np.array(model.clusterCenters(), np.float32)


def sklearn(rows: Matrix, case: Case) -> Matrix:
    return SklearnKMeans(case.n_clusters, n_init=1, max_iter=ROUNDS, random_state=SEED).fit(rows).cluster_centers_


def faiss_kmeans(rows: Matrix, case: Case, all_points: bool) -> Matrix:
    most = {"max_points_per_centroid": len(rows)} if all_points else {}
    found = faiss.Kmeans(case.dim, case.n_clusters, niter=ROUNDS, spherical=True, seed=SEED, **most)
    found.train(rows)
    return found.centroids


def compare(spark: SparkSession, case: Case, skip: set[str], folder: str) -> dict[str, object]:
    print(f"\n{case.n:,} x {case.dim}, {case.n_clusters:,} clusters", flush=True)
    rows = grown(case.n, case.dim)
    path = f"{folder}/{case.name}.parquet"
    ids = pa.array([f"{i:064x}" for i in range(case.n)])
    table = pa.Table.from_batches(
        [
            pa.RecordBatch.from_arrays([ids[s : s + 50_000], pack(rows[s : s + 50_000])], names=["image_id", "vector"])
            for s in range(0, case.n, 50_000)
        ]
    )
    pq.write_table(table, path, row_group_size=20_000, compression="none")
    contestants = {
        "this": (case.repeats, lambda: ours(spark, path, case)),
        "mllib block": (case.repeats, lambda: mllib(spark, path, case, "block")),
        "mllib default": (case.slow_repeats, lambda: mllib(spark, path, case, "auto")),
        "scikit-learn": (case.repeats, lambda: sklearn(rows, case)),
        "faiss, all points": (case.repeats, lambda: faiss_kmeans(rows, case, True)),
        "faiss, its sample": (case.repeats, lambda: faiss_kmeans(rows, case, False)),
    }
    runs = side_by_side({name: run for name, run in contestants.items() if name not in skip})
    costs = {name: cost(rows, run.answer) for name, run in runs.items()}
    for name, run in runs.items():
        print(f"{name:>18} {run}  cost {costs[name]:12.1f}")
    claims = [claim(f"{case.name} cost over the best", costs["this"] / min(costs.values()), 1.005, at_least=False)]
    for peer, goal in (("mllib default", 5), ("mllib block", 2)):
        if peer in runs:
            claims.append(claim(f"{case.name} times {peer}", runs[peer].wall / runs["this"].wall, goal))
            claims.append(claim(f"{case.name} times {peer} in CPU", runs[peer].work / runs["this"].work, goal))
    figures = {n: {"seconds": r.seconds, "cpu_seconds": r.cpu, "cost": costs[n]} for n, r in runs.items()}
    return {"case": case._asdict(), "figures": figures, "claims": claims}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, default="large")
    parser.add_argument("--skip", nargs="*", default=[], help="contestants to leave out, by name")
    parser.add_argument("--of", nargs=2, type=int, metavar=("N", "CLUSTERS"), help="one case of the size alone")
    parser.add_argument("--repeats", type=int, help="of all but MLlib's default solver (default: by size)")
    asked = parser.parse_args()
    cases = [case._replace(repeats=asked.repeats or case.repeats) for case in CASES[asked.size]]
    cases = [case for case in cases if asked.of is None or [case.n, case.n_clusters] == asked.of]
    if not cases:
        parser.error(f"--of {asked.of[0]} {asked.of[1]}: no such case in {asked.size}")
    spark = build_session("benchmark cluster", spark__driver__memory="4g", spark__ui__showConsoleProgress="false")
    with tempfile.TemporaryDirectory() as folder:
        ours(spark, _warm(folder), Case(2000, 16, 4, 1, 1))  # workers started, code compiled
        results = [compare(spark, case, set(asked.skip), folder) for case in cases]
    save("_".join(["cluster", asked.size, *map(str, asked.of or [])]), {"cases": results})
    spark.stop()


def _warm(folder: str) -> str:
    rows = grown(2000, 16)
    path = f"{folder}/warm.parquet"
    pq.write_table(pa.table({"image_id": [str(i) for i in range(2000)], "vector": pack(rows)}), path)
    return path


if __name__ == "__main__":
    main()
