"""What `search --verify` does to the order of matches, on both real sets: quality with and without, and its time.

    make bench-verify                              # three minutes of embedding, three of checks
    make bench-verify ARGS="--every 5"             # every fifth image asks

Leave one out, 256 components: every image asks all others by the cosine, and its ten best are checked as ``search
--verify`` checks them (``imgsearch/geometry``). ``always`` puts the match with the most inliers first, however few they
are, which is what an unconditional check does; ``verified`` is the product's rule. Images with an even checksum of
their path are those that the rule was chosen on; the claims are of the others.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402
from real_sets import embedded  # noqa: E402

from imgsearch.encoders.encoder import DEFAULT, resolve  # noqa: E402
from imgsearch.geometry.check import fitted  # noqa: E402
from imgsearch.geometry.features import Features, features_of  # noqa: E402
from imgsearch.projections.moments import Moments  # noqa: E402
from imgsearch.projections.projection import fit  # noqa: E402
from imgsearch.retrieval.expansion import nearest_others  # noqa: E402
from imgsearch.retrieval.verifying import FIRST, VERIFIED  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402
from imgsearch.topk.quality import retrieval  # noqa: E402

WORST = -0.005
_held: dict[str, list[Features]] = {}


def features_at(path: Path) -> bytes:
    """The packed features of a file."""
    return features_of(path.read_bytes()).packed()


def _start(packed: list[bytes]) -> None:
    _held["features"] = [Features.unpacked(one) for one in packed]


def _inliers(pair: tuple[int, np.ndarray]) -> list[int]:
    features = _held["features"]
    return [fitted(features[pair[0]], features[other]).inliers for other in pair[1]]


def checked(paths: list[Path], rows: np.ndarray, ten: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(n, FIRST) inliers of the ten best of ``rows``; CPU seconds of an image's features and of a query's ten pairs."""
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    with context.Pool(cores) as pool:
        pool.map(features_at, paths[: 2 * cores])
        started = time.perf_counter()
        packed = pool.map(features_at, paths, chunksize=16)
        an_image = (time.perf_counter() - started) * cores / len(paths)
    with context.Pool(cores, _start, (packed,)) as pool:
        started = time.perf_counter()
        inliers = pool.map(_inliers, [(row, ten[row]) for row in rows], chunksize=16)
        a_query = (time.perf_counter() - started) * cores / len(rows)
    return np.array(inliers), an_image, a_query


def orders(ten: np.ndarray, inliers: np.ndarray) -> dict[str, np.ndarray]:
    """Rule → (n, FIRST) rows in their new order."""
    place = np.arange(FIRST)[None]
    rules = {
        "always": -inliers * 100 + place,
        **{f"from {n}": (inliers < n) * 100 + place for n in (8, VERIFIED, 25, 40)},
        f"from {VERIFIED}, most first": -np.where(inliers >= VERIFIED, inliers, 0) * 100 + place,
    }
    return {name: np.take_along_axis(ten, key.argsort(axis=1, kind="stable"), 1) for name, key in rules.items()}


def measure(name: str, every: int) -> list[dict[str, Any]]:
    """One row a rule and half of a set."""
    with (DATA / name / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    paths, labels = [DATA / name / "images" / row["path"] for row in truth], [row["label"] for row in truth]
    encoder = resolve(DEFAULT)
    full, _ = embedded(encoder, paths)
    vectors = fit(Moments.of(full), 256, encoder.encoder_id).apply(full)
    ten = nearest_others(vectors, FIRST, np.arange(len(vectors))).ids
    rows = np.arange(0, len(paths), every)
    inliers, an_image, a_query = checked(paths, rows, ten)
    is_tuning = np.array([zlib.crc32(truth[row]["path"].encode()) % 2 == 0 for row in rows])
    table = []
    for rule, ahead in {"plain": ten[rows], **orders(ten[rows], inliers)}.items():
        whole = ten.copy()
        whole[rows] = ahead
        result = retrieval(vectors, labels, (1, 10), ahead=whole)
        for half in ("tuning", "report"):
            chosen = rows[is_tuning == (half == "tuning")]
            table.append(
                {
                    "set": name, "half": half, "rule": rule,
                    "p@1": float(np.nanmean(result.precision_at_k[chosen, 0])),
                    "p@10": float(np.nanmean(result.precision_at_k[chosen, 1])),
                    "mAP": float(np.nanmean(result.average_precision[chosen])),
                    "features ms": an_image * 1e3, "checks ms a query": a_query * 1e3,
                }
            )  # fmt: skip
    share = float((inliers >= VERIFIED).mean())
    print(f"{name}: {len(rows)} queries; {share:.1%} of their ten best are verified", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="every n-th image asks")
    args = parser.parse_args()
    sets = ("grocery", "neu_det")
    rows = [row for name in sets for row in measure(name, args.every)]
    print(render_table([{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]))
    claims = []
    for name in sets:
        plain, ours = (
            next(r for r in rows if (r["set"], r["half"], r["rule"]) == (name, "report", rule))
            for rule in ("plain", f"from {VERIFIED}")
        )
        for metric in ("p@1", "p@10", "mAP"):
            claims.append(claim(f"{name} {metric} with --verify over plain", ours[metric] - plain[metric], WORST))
    save("verify", {"rows": rows, "claims": claims})


if __name__ == "__main__":
    main()
