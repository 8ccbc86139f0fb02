"""Principal components side by side, in one run: blocked Gram matrix (this) and Spark MLlib's PCA.fit.

    PYTHONPATH=. python benchmarks/compress.py --size small     # 5,000 x 256
    PYTHONPATH=. python benchmarks/compress.py --size full      # 50,000 x 2048, 256 components

Both start from the same Parquet file of packed embeddings, reading included. The driver's memory is that of this
process, where the Gram matrix is solved; it is measured at a half and at the whole of the images, because it must not
grow with their number. Claims end with ``ok`` or ``short``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.linalg

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import claim, forget_peak, peak_mb, save, side_by_side  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

from imgsearch.lake.batches import gather  # noqa: E402
from imgsearch.lake.session import build_session  # noqa: E402
from imgsearch.projections.compress import fit_with  # noqa: E402
from imgsearch.projections.moments import Moments, merge_moments, moments_of_batches  # noqa: E402
from imgsearch.projections.projection import Projection  # noqa: E402
from imgsearch.vectors import pack, unit  # noqa: E402


class Case(NamedTuple):
    """One comparison."""

    n: int
    dim: int
    n_components: int
    repeats: int
    slow_repeats: int  # of MLlib


CASES = {
    "small": Case(5_000, 256, 64, 3, 1),
    "medium": Case(20_000, 1280, 256, 3, 1),
    "full": Case(50_000, 2048, 256, 3, 1),
}


def write(path: str, case: Case, seed: int = 0) -> None:
    """Embeddings like a CNN's: non-negative before scaling, off the origin, variance falling by direction."""
    rng = np.random.default_rng(seed)
    mixing = (rng.standard_normal((case.dim, case.dim), np.float32) * np.arange(1, case.dim + 1) ** -0.7).T
    schema = pa.schema({"image_id": pa.string(), "embedding": pa.binary()})
    with pq.ParquetWriter(path, schema, compression="none") as out:
        for start in range(0, case.n, 5_000):
            rows = np.maximum(rng.standard_normal((min(5_000, case.n - start), case.dim), np.float32) @ mixing, 0)
            ids = [f"{start + i:064x}" for i in range(len(rows))]
            out.write_table(pa.table([ids, pack(unit(rows.astype(np.float32)))], schema=schema))


def ours(spark: SparkSession, path: str, case: Case) -> Projection:
    frame = spark.read.parquet(path)
    moments = gather(frame.select("embedding"), moments_of_batches, merge_moments)
    return fit_with("gram", frame, Moments.from_bytes(moments or b""), case.n_components, "enc", 0.0)


def mllib(spark: SparkSession, path: str, case: Case, moments: Moments) -> Projection:
    """MLlib's own fit; the mean that it does not keep comes from ``moments``, outside what is its work."""
    return fit_with("mllib", spark.read.parquet(path), moments, case.n_components, "enc", 0.0)


def driver_mb(spark: SparkSession, path: str, case: Case) -> float:
    """Peak memory of this process, the driver's Python, while it fits what is at ``path``."""
    forget_peak()
    ours(spark, path, case)
    return peak_mb()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CASES, default="full")
    asked = parser.parse_args()
    case = CASES[asked.size]
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        whole, half = f"{folder}/whole.parquet", f"{folder}/half.parquet"
        write(whole, case)
        write(half, case._replace(n=case.n // 2))
        spark = build_session("benchmark compress", spark__driver__memory="4g", spark__ui__showConsoleProgress="false")
        ours(spark, half, case)  # workers started
        memory = {"half": driver_mb(spark, half, case), "whole": driver_mb(spark, whole, case)}
        frame = spark.read.parquet(whole)
        moments = Moments.from_bytes(gather(frame.select("embedding"), moments_of_batches, merge_moments) or b"")
        print(f"{case.n:,} x {case.dim}, {case.n_components} components", flush=True)
        runs = side_by_side(
            {
                "this": (case.repeats, lambda: ours(spark, whole, case)),
                "mllib": (case.slow_repeats, lambda: mllib(spark, whole, case, moments)),
            }
        )
        spark.stop()
    for name, run in runs.items():
        print(f"{name:>8} {run}")
    one, other = runs["this"].answer, runs["mllib"].answer
    cosines = np.abs((one.components.astype(np.float64) * other.components).sum(axis=1))
    angle = float(scipy.linalg.subspace_angles(one.components.T.astype(np.float64), other.components.T).max())
    claims.append(claim("times MLlib", runs["mllib"].wall / runs["this"].wall, 10))
    claims.append(claim("times MLlib in CPU", runs["mllib"].work / runs["this"].work, 10))
    claims.append(claim("1 - |cos| of the leading 50 components", float(1 - cosines[:50].min()), 1e-6, at_least=False))
    claims.append(claim("angle between the subspaces", angle, 1e-3, at_least=False))
    print(f"driver memory: {memory['half']:.0f} MB for half the images, {memory['whole']:.0f} MB for all")
    claims.append(claim("driver memory, all over half", memory["whole"] / memory["half"], 1.1, at_least=False))
    figures = {n: {"seconds": r.seconds, "cpu_seconds": r.cpu} for n, r in runs.items()}
    save(f"compress_{asked.size}", {"case": case._asdict(), "figures": figures, "memory": memory, "claims": claims})


if __name__ == "__main__":
    main()
