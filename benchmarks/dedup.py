"""Near-duplicates at scale: does ``dedup`` stay within memory, and what does a crowd of identical frames cost?

    PYTHONPATH=. python benchmarks/dedup.py --size small    # 20,000 x 64, 1,000 identical frames
    PYTHONPATH=. python benchmarks/dedup.py --size full     # 1,000,000 x 256, 10,000 identical frames: some minutes

The warehouse is made of numbers: groups within groups (as ``benchmarks/search.py`` draws them), laid out by cluster,
every fiftieth row a near-copy of another, and a crowd of frames that are all the same. The whole job runs, tables in,
table out. A copy whose original joined another group may rightly stand alone: groups have no chains. Memory is that of
the JVM, the driver and the Python workers together, sampled twice a second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import claim, descendants, save, side_by_side  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402
from search import an_id, drawn, in_clusters  # noqa: E402

from imgsearch.config import DedupConfig  # noqa: E402
from imgsearch.duplicates import dedup  # noqa: E402
from imgsearch.lake.session import build_session  # noqa: E402
from imgsearch.lake.store import TableStore  # noqa: E402
from imgsearch.projections.projection import Projection  # noqa: E402
from imgsearch.projections.spaces import keep_projection  # noqa: E402
from imgsearch.tables import CLUSTERS, DUPLICATES, ENCODERS, IMAGES, VECTORS  # noqa: E402
from imgsearch.vectors import Matrix, pack, unit  # noqa: E402

THRESHOLD = 0.95
ONCE = 50_000  # rows handed to Spark at a time


class Case(NamedTuple):
    """Vectors, their width, how many of them are one and the same, and clusters."""

    n: int
    dim: int
    crowd: int
    n_clusters: int
    repeats: int


CASES = {"small": Case(20_000, 64, 1_000, 40, 2), "full": Case(1_000_000, 256, 10_000, 1_000, 1)}


def planted(case: Case) -> np.ndarray:
    """Rows that are near-copies of the row before."""
    return np.arange(case.crowd + 49, case.n, 50)


def vectors(case: Case) -> Matrix:
    """What the warehouse holds: rows 0 to ``crowd`` are the crowd; of every other fifty, one is near the row before."""
    rows = drawn(case.n, case.dim)
    rows[: case.crowd] = rows[0]
    copies = planted(case)
    noise = np.random.default_rng(5).standard_normal((len(copies), case.dim), np.float32)
    rows[copies] = unit(rows[copies - 1] + 0.1 * noise / np.sqrt(case.dim))
    return rows


def make(spark: SparkSession, case: Case, folder: str) -> TableStore:
    """The tables that ``dedup`` reads, in files by cluster."""
    rows = vectors(case)
    centroids, clusters = in_clusters(rows, case.n_clusters)
    order = np.argsort(clusters, kind="stable")
    warehouse = TableStore.open(spark, f"{folder}/w", create=True)
    ones = np.ones(case.dim, np.float32)
    projection = Projection(
        encoder_id="an-encoder", mean=0 * ones, components=np.eye(case.dim, dtype=np.float32), scale=ones,
        explained_variance_ratio=ones / case.dim, whitening=0.0, n_fitted=case.n, engine="gram",
    )  # fmt: skip
    keep_projection(warehouse, projection, "")
    encoder = spark.createDataFrame([("an-encoder", "none", case.dim, "{}")], "encoder_id string, name string, dim int, settings string")  # noqa: E501  # fmt: skip
    warehouse.append(ENCODERS, encoder)
    for start in range(0, case.n, ONCE):
        part = order[start : start + ONCE]
        table = pa.table(
            {
                "image_id": [an_id(i) for i in part],
                "projection_id": [projection.projection_id] * len(part),
                "cluster_id": pa.array(clusters[part], pa.int32()),
                "vector": pack(rows[part]),
            }
        )
        warehouse.append(VECTORS, spark.createDataFrame(table))
    book = pa.table(
        {
            "cluster_id": pa.array(np.arange(case.n_clusters), pa.int32()),
            "projection_id": [projection.projection_id] * case.n_clusters,
            "size": np.bincount(clusters, minlength=case.n_clusters),
            "centroid": pack(centroids),
        }
    )
    warehouse.append(CLUSTERS, spark.createDataFrame(book))
    files = warehouse.read(VECTORS).select(
        "image_id", F.concat(F.lit("/pictures/"), "image_id").alias("path"), F.lit("/pictures").alias("source")
    )
    warehouse.append(IMAGES, files)
    return warehouse


@contextmanager
def watched_memory() -> Iterator[dict[str, float]]:
    """``peak``: most MB that this process and all that it started held at once."""
    seen, over = {"peak": 0.0}, threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            held = 0
            for pid in descendants(os.getpid()):
                try:
                    held += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                except OSError:  # it has ended since
                    continue
            seen["peak"] = max(seen["peak"], held * os.sysconf("SC_PAGE_SIZE") / 1e6)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield seen
    finally:
        over.set()
        watch.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, default="small")
    case = CASES[parser.parse_args().size]
    spark = build_session("benchmark dedup", spark__driver__memory="4g", spark__ui__showConsoleProgress="false")
    with tempfile.TemporaryDirectory(prefix="imgsearch-dedup-") as folder:
        warehouse = make(spark, case, folder)
        config = DedupConfig(warehouse=warehouse.location, threshold=THRESHOLD)
        with watched_memory() as memory:
            runs = side_by_side({"dedup": (case.repeats, lambda: dedup.run(spark, config))})
        found: Any = warehouse.read(DUPLICATES)
        crowd = [an_id(i) for i in (0, 1, case.crowd // 2, case.crowd - 1)]
        heads = found.where(F.col("image_id").isin(crowd)).select("representative_id").distinct().count()
        copies = pa.table({"image_id": [an_id(i) for i in planted(case)]})
        n_found = found.join(F.broadcast(spark.createDataFrame(copies)), on="image_id", how="left_semi").count()
        rows, groups = found.count(), found.select("representative_id").distinct().count()
    print(f"{case.n:,} x {case.dim}: {runs['dedup']}  {rows:,} rows in {groups:,} groups, {memory['peak']:,.0f} MB")
    claims = [
        claim("peak MB of all processes", memory["peak"], 24_000, at_least=False),
        claim("groups of the crowd", heads, 1, at_least=False),
        claim("share of the planted copies found", n_found / copies.num_rows, 0.99),
    ]
    figures = {"seconds": runs["dedup"].seconds, "rows": rows, "groups": groups, "peak_mb": memory["peak"]}
    save(f"dedup_{case.n}", {"case": case._asdict(), "figures": figures, "claims": claims})


if __name__ == "__main__":
    main()
