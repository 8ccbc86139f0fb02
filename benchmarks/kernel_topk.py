"""The search kernel beside ``faiss.knn``, on one thread: the same gallery in batches, the same queries, alternating.

    python benchmarks/kernel_topk.py --rows 100000 --queries 5000 --top-k 10 --repeats 3
    python benchmarks/kernel_topk.py --vectors vectors.npy        # (n, dim) float32 of your own

CPU seconds are compared (other work on the machine disturbs them less than wall time): the median of the repeats, and
the ratio of the medians. FAISS searches every batch and its answers are merged, as a task in a cluster would; it is
also timed over the whole gallery at once, which is the fastest it can be. ``same`` is the share of equal ids: what is
missing are near-ties that float32 rounds differently.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import faiss
import numpy as np
from measure import claim, save
from threadpoolctl import threadpool_limits

from imgsearch.topk import int8
from imgsearch.topk.topk import RunningTopK, TopK, merge
from imgsearch.vectors import Matrix, unit

DATA = ("gaussian", "spectrum", "clustered")


def drawn(kind: str, n: int, dim: int, seed: int) -> Matrix:
    """Unit rows. ``gaussian``: no structure at all, the worst case. ``spectrum``: standard deviations fall as 1/√i, as
    after PCA. ``clustered``: the same around 200 centres."""
    rng = np.random.default_rng(seed)
    scale = np.ones(dim) if kind == "gaussian" else np.arange(1, dim + 1) ** -0.5
    rows = rng.standard_normal((n, dim), dtype=np.float32) * scale.astype(np.float32)
    if kind == "clustered":
        centres = np.random.default_rng(99).standard_normal((200, dim)) * scale
        rows = 0.7 * rows + centres[rng.integers(0, 200, n)].astype(np.float32)
    return unit(rows)


def batches(n: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, n)) for first in range(0, n, size))


def by_faiss(queries: Matrix, gallery: Matrix, k: int, size: int) -> TopK:
    parts = []
    for part in batches(len(gallery), size):
        scores, rows = faiss.knn(queries, gallery[part], k, metric=faiss.METRIC_INNER_PRODUCT)
        parts.append(TopK(rows + part.start, scores))
    return merge(parts, k)


def by_numpy(queries: Matrix, gallery: Matrix, k: int, size: int) -> TopK:
    parts = []
    for part in batches(len(gallery), size):
        product = queries @ gallery[part].T
        rows = np.argpartition(product, -k, axis=1)[:, -k:] if part.stop - part.start > k else np.argsort(product)
        parts.append(TopK(rows + part.start, np.take_along_axis(product, rows, axis=1)))
    return merge(parts, k)


def by_kernel(queries: Matrix, gallery: Matrix, k: int, size: int, engine: str) -> TopK:
    running = RunningTopK(queries, k, engine)  # type: ignore[arg-type]
    for part in batches(len(gallery), size):
        running.update(gallery[part], np.arange(part.start, part.stop))
    return running.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=5_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--batch", type=int, default=10_000, help="rows a batch, as Arrow brings them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", choices=DATA, nargs="*", default=DATA)
    parser.add_argument("--vectors", help="an (n, dim) float32 .npy file: its last rows are the queries")
    args = parser.parse_args()
    threadpool_limits(1)

    contestants: dict[str, Callable[[Matrix, Matrix], TopK]] = {
        "faiss whole": lambda q, g: by_faiss(q, g, args.top_k, len(g)),
        "faiss batches": lambda q, g: by_faiss(q, g, args.top_k, args.batch),
        "numpy": lambda q, g: by_numpy(q, g, args.top_k, args.batch),
        "float32": lambda q, g: by_kernel(q, g, args.top_k, args.batch, "float32"),
    }
    if int8.supported():
        contestants["int8"] = lambda q, g: by_kernel(q, g, args.top_k, args.batch, "int8")

    claims, figures = [], {}
    for kind in [args.vectors] if args.vectors else args.data:
        if args.vectors:
            rows = unit(np.load(args.vectors, mmap_mode="r")[: args.rows + args.queries])
            gallery, queries = rows[: -args.queries], rows[-args.queries :]
        else:
            gallery = drawn(kind, args.rows, args.dim, 1)
            queries = drawn(kind, args.queries, args.dim, 2)
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        answers = {}
        for contestant in contestants.values():
            contestant(queries[:64], gallery[:2_000])  # compiles, starts libraries
        for _ in range(args.repeats):
            for name, contestant in contestants.items():
                started = time.process_time()
                answers[name] = contestant(queries, gallery)
                seconds[name].append(time.process_time() - started)
        print(f"{kind}: {gallery.shape[0]} x {gallery.shape[1]}, {len(queries)} queries, top {args.top_k}, one thread")
        floor = statistics.median(seconds["faiss whole"])
        for name, taken in seconds.items():
            same = (answers[name].ids == answers["faiss whole"].ids).mean()
            times = " ".join(f"{s:.2f}" for s in taken)
            middle = statistics.median(taken)
            print(f"  {name:14s} {middle:6.2f} s   {floor / middle:5.2f} x faiss   same {same:.5f}   [{times}]")
            if name in ("float32", "int8"):
                claims.append((f"{kind} {name} times faiss", floor / middle))
        figures[kind] = seconds
    verdicts = [claim(name, measured, 1.0) for name, measured in claims]
    settings = {"rows": args.rows, "dim": args.dim, "queries": args.queries, "top_k": args.top_k}
    save("kernel_topk", {**settings, "cpu_seconds": figures, "claims": verdicts})


if __name__ == "__main__":
    main()
