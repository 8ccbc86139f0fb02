"""What each step keeps, on real photographs with truth: embeddings, 256 components, smaller storage, lower precision.

    PYTHONPATH=. python benchmarks/real_sets.py                                # float32 and int8
    PYTHONPATH=. python benchmarks/real_sets.py --precision float32 bf16 int8  # bf16 wants the extra openvino
    PYTHONPATH=. python benchmarks/real_sets.py --augment flip flip,rotate --expand 1 3 10

Every photograph of ``../shared/data`` goes through the path that ``embed`` runs (decode, network, one thread a core),
then retrieval leave one out: precision at 1 and 10 and mean average precision, of the embeddings as they are and of the
256-d vectors. ``same`` is the share of images whose nearest image is the one that float32 finds.
With ``--augment`` and ``--expand`` each image asks as ``search`` with that option would, among the plain vectors.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch.encoders.augmentation import embed_variants  # noqa: E402
from imgsearch.encoders.embedding import embed_files  # noqa: E402
from imgsearch.encoders.encoder import DEFAULT, PRECISIONS, Encoder, resolve  # noqa: E402
from imgsearch.encoders.graphs import graph_of  # noqa: E402
from imgsearch.encoders.runtime import Runtime, load_runtime  # noqa: E402
from imgsearch.images.decode import DecodeLimits  # noqa: E402
from imgsearch.projections.moments import Moments  # noqa: E402
from imgsearch.projections.projection import fit  # noqa: E402
from imgsearch.projections.storage import expand, shrink  # noqa: E402
from imgsearch.retrieval.expansion import expand_each, nearest_others  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402
from imgsearch.topk.quality import retrieval  # noqa: E402
from imgsearch.vectors import Matrix  # noqa: E402

CHUNK = 16
_held: dict[str, Any] = {}


def _start(encoder: Encoder, graph: bytes, ways: tuple[str, ...]) -> None:
    runtime: Runtime = load_runtime(graph, encoder, 1)
    _held.update(encoder=encoder, runtime=runtime, ways=ways)


def _embed(paths: list[Path]) -> Matrix:
    encoder = _held["encoder"]
    sources = [path.read_bytes for path in paths]
    return embed_files(sources, _held["runtime"], encoder.preprocessing, encoder.dim, DecodeLimits()).embeddings


def _embed_in_ways(paths: list[Path]) -> Matrix:
    encoder, runtime, ways = _held["encoder"], _held["runtime"], _held["ways"]
    rows = [embed_variants(p.read_bytes(), ways, runtime, encoder.preprocessing, DecodeLimits()) for p in paths]
    return np.stack(rows)


def embedded(encoder: Encoder, paths: list[Path], ways: tuple[str, ...] = ()) -> tuple[Matrix, float]:
    """(n, dim) embeddings in the order of ``paths``, and images a second; with ``ways`` means over augmentations."""
    embed = _embed_in_ways if ways else _embed
    cores = len(os.sched_getaffinity(0))
    with multiprocessing.get_context("spawn").Pool(cores, _start, (encoder, graph_of(encoder), ways)) as pool:
        pool.map(embed, [paths[:4]] * cores, chunksize=1)  # warm
        chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
        started = time.perf_counter()
        rows = np.concatenate(pool.map(embed, chunks, chunksize=1))
        return rows, len(paths) / (time.perf_counter() - started)


def nearest(vectors: Matrix) -> np.ndarray:
    """(n,) the row that each row is most similar to, itself left out."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return scores.argmax(axis=1)


def quality(
    vectors: Matrix, labels: list[str], queries: Matrix | None = None, ahead: np.ndarray | None = None
) -> dict[str, float]:
    """Precision at 1 and 10, and mean average precision; ``queries``: what the images ask with, if not themselves;
    ``ahead``: rows that come first, as the nearest does with ``--expand``."""
    result = retrieval(vectors, labels, (1, 10), queries, ahead=ahead)
    at_one, at_ten = np.nanmean(result.precision_at_k, axis=0)
    return {"p@1": float(at_one), "p@10": float(at_ten), "mAP": float(np.nanmean(result.average_precision))}


def measure(
    name: str, precisions: list[str], n_components: int, augment: list[str], expansions: list[int]
) -> list[dict[str, Any]]:
    """One row for each precision and kind of vector."""
    with (DATA / name / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = [(DATA / name / "images" / row["path"], row["label"]) for row in csv.DictReader(file)]
    paths, labels = [path for path, _ in truth], [label for _, label in truth]
    rows: list[dict[str, Any]] = []
    first: dict[str, np.ndarray] = {}
    for precision in precisions:
        encoder = resolve(DEFAULT, precision=precision)
        full, rate = embedded(encoder, paths)
        projection = fit(Moments.of(full), n_components, encoder.encoder_id)
        small = projection.apply(full)
        kinds = {"embedding": full, f"{n_components}-d": small}
        if precision == "float32":
            kinds |= {f"{n_components}-d {kind}": expand(shrink(small, kind), kind) for kind in ("float16", "int8")}
        for kind, vectors in kinds.items():
            mine = nearest(vectors)
            same = (mine == first.setdefault(kind.split()[0], mine)).mean()
            row = {
                "set": name,
                "precision": precision,
                "vectors": kind,
                **quality(vectors, labels),
                "same": float(same),
            }
            rows.append(row | {"images/s": rate if kind == "embedding" else None})
        if precision == "float32":
            first = nearest_others(small, 1, np.arange(len(small))).ids
            asked = {f"asked with {m} more": (expand_each(small, m), first) for m in expansions}
            for ways in augment:
                asked[f"asked {ways}"] = (projection.apply(embedded(encoder, paths, tuple(ways.split(",")))[0]), None)
            rows += [
                {"set": name, "precision": precision, "vectors": how, **quality(small, labels, *queries)}
                for how, queries in asked.items()
            ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="*", choices=PRECISIONS, default=["float32", "int8"])
    parser.add_argument("--augment", nargs="*", default=[], help="flip, rotate, or flip,rotate")
    parser.add_argument("--expand", nargs="*", type=int, default=[], help="matches that a query takes in")
    parser.add_argument("--n-components", type=int, default=256)
    args = parser.parse_args()
    sets = sorted(p.parent.name for p in DATA.glob("*/truth.csv"))
    if not sets:
        raise SystemExit(f"no real photographs in {DATA}; IMGSEARCH_REAL_DATA names another folder")
    rows = [row for name in sets for row in measure(name, args.precision, args.n_components, args.augment, args.expand)]
    print(render_table([{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]))
    table = pd.DataFrame(rows).set_index(["set", "precision", "vectors"])
    claims = []
    for name in sets:
        full, small = (table.loc[(name, "float32", kind), "p@10"] for kind in ("embedding", f"{args.n_components}-d"))
        claims.append(claim(f"{name} {args.n_components}-d over full precision@10", float(small / full), 0.98))
    save("real_sets_asked" if args.augment or args.expand else "real_sets", {"rows": rows, "claims": claims})


if __name__ == "__main__":
    main()
