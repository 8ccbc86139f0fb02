"""How ``vectors`` should lie so that a search of few clusters reads few bytes: four layouts of the same rows, one run.

    PYTHONPATH=. python benchmarks/layout.py --rows 60000

``as written`` has no order, ``sorted`` is what ``cluster`` does (files sorted by ``cluster_id``, skipped by Delta's
statistics), ``partitioned`` has a folder a cluster, ``liquid`` is Delta's liquid clustering after OPTIMIZE. For each:
files and their bytes, the share of the bytes in the files that a query's 5 nearest clusters leave (median of 20
queries), seconds to write it and to read it all, and the protocol that a reader must know.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import save  # noqa: E402
from pyspark.sql import DataFrame, SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402
from search import asked, drained, laid_out  # noqa: E402

from imgsearch.clusters.layout import FILE_VECTORS  # noqa: E402
from imgsearch.lake.session import build_session  # noqa: E402
from imgsearch.retrieval.join import probed_rows  # noqa: E402
from imgsearch.retrieval.probes import nearest_clusters  # noqa: E402

NPROBE, N_QUERIES = 5, 20


def as_written(spark: SparkSession, rows: DataFrame, path: str) -> None:
    rows.orderBy(F.xxhash64("image_id")).write.format("delta").save(path)


def sorted_files(spark: SparkSession, rows: DataFrame, path: str) -> None:
    n_files = max(1, rows.count() // FILE_VECTORS)
    ordered = rows.repartitionByRange(n_files, "cluster_id", "image_id").sortWithinPartitions("cluster_id", "image_id")
    ordered.write.format("delta").save(path)


def partitioned(spark: SparkSession, rows: DataFrame, path: str) -> None:
    rows.repartition("cluster_id").write.format("delta").partitionBy("cluster_id").save(path)


def liquid(spark: SparkSession, rows: DataFrame, path: str) -> None:
    spark.sql(
        f"CREATE TABLE delta.`{path}` (image_id STRING, cluster_id INT, vector BINARY) USING delta "
        "CLUSTER BY (cluster_id)"
    )
    spark.conf.set("spark.databricks.delta.optimize.maxFileSize", str(FILE_VECTORS * 1100))
    rows.orderBy(F.xxhash64("image_id")).write.format("delta").mode("append").save(path)
    spark.sql(f"OPTIMIZE delta.`{path}`")


LAYOUTS: dict[str, Callable[[SparkSession, DataFrame, str], None]] = {
    "as written": as_written,
    "sorted": sorted_files,
    "partitioned": partitioned,
    "liquid": liquid,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=256)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    spark = build_session(
        "benchmark layout",
        spark__master=f"local[{cores}]",
        spark__driver__memory="4g",
        spark__ui__showConsoleProgress="false",
    )
    figures: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="imgsearch-layout-") as folder:
        gallery = laid_out(spark, given.rows, given.dim, folder)
        rows = spark.read.format("delta").load(gallery.path)
        nearest = nearest_clusters(
            asked(gallery.vectors, N_QUERIES), gallery.book.centroids, gallery.book.cluster_ids, NPROBE
        )
        for name, write in LAYOUTS.items():
            path = f"{folder}/{name.replace(' ', '_')}"
            start = time.perf_counter()
            write(spark, rows, path)
            written = time.perf_counter() - start
            frame = spark.read.format("delta").load(path)
            every = {f: os.path.getsize(f.removeprefix("file:").replace("%3D", "=")) for f in frame.inputFiles()}
            shares = []
            for row in nearest:
                few = probed_rows(frame, row[None]).inputFiles()
                shares.append(sum(every[f] for f in few) / sum(every.values()))
            reads = []
            for _ in range(3):
                start = time.perf_counter()
                drained(spark.read.format("delta").load(path))
                reads.append(time.perf_counter() - start)
            detail = spark.sql(f"DESCRIBE DETAIL delta.`{path}`").collect()[0]
            protocol = f"{detail['minReaderVersion']}, {detail['minWriterVersion']}"
            figures[name] = {
                "files": len(every), "bytes": sum(every.values()), "share": statistics.median(shares),
                "write_s": written, "read_s": statistics.median(reads), "protocol": protocol,
            }  # fmt: skip
            print(
                f"{name:12} {len(every):5} files {sum(every.values()) / 1e6:8.1f} MB  one query reads "
                f"{statistics.median(shares):6.1%}  write {written:6.1f} s  "
                f"read all {statistics.median(reads):5.1f} s  protocol {protocol}",
                flush=True,
            )
    save(f"layout_{given.rows}", {"nprobe": NPROBE, "clusters": len(gallery.book.cluster_ids), "layouts": figures})


if __name__ == "__main__":
    main()
