"""Two networks side by side (``--encoder a+b``) beside one: quality on real photographs, and time.

Needs the extra `lite`.

    make bench-encoder-pairs                                     # every set: some ten minutes
    make bench-encoder-pairs ARGS="--encoders fast best"         # some encoders

Every photograph asks all others of its set with 256-d vectors, leave one out. ``ms``: the network alone, one thread,
CPU time an image, median of seven runs of 16 images. Each encoder is the product's own, as ``embed`` runs it.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402
from real_sets import embedded, quality  # noqa: E402

from imgsearch.encoders.encoder import Encoder, resolve  # noqa: E402
from imgsearch.encoders.graphs import graph_of  # noqa: E402
from imgsearch.encoders.runtime import load_runtime  # noqa: E402
from imgsearch.projections.moments import Moments  # noqa: E402
from imgsearch.projections.projection import fit  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402

LITE = "efficientnet-lite"
ENCODERS = (f"{LITE}0", f"{LITE}1", f"{LITE}2", f"{LITE}0+{LITE}1", f"{LITE}0+{LITE}2", f"{LITE}1+{LITE}2")
SETS = ("grocery", "neu_det")
REPEATS, IMAGES = 7, 16


def milliseconds(encoder: Encoder) -> float:
    """CPU time of the network, an image."""
    runtime = load_runtime(graph_of(encoder), encoder, 1)
    shown = encoder.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, shown.height, shown.width, 3), np.uint8)
    runtime(pixels)
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        runtime(pixels)
        times.append(time.process_time() - started)
    return 1000 * statistics.median(times) / IMAGES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    given = parser.parse_args()
    table = []
    for name in given.encoders:
        encoder = resolve(name)
        row: dict[str, object] = {"encoder": encoder.name.replace(LITE, "lite"), "dim": encoder.dim}
        row["ms"] = milliseconds(encoder)
        for place in SETS:
            with (DATA / place / "truth.csv").open(newline="", encoding="utf-8") as file:
                truth = list(csv.DictReader(file))
            full, _ = embedded(encoder, [DATA / place / "images" / each["path"] for each in truth])
            vectors = fit(Moments.of(full), 256, encoder.encoder_id).apply(full)
            figures = quality(vectors, [each["label"] for each in truth])
            row |= {f"{place} {key}": value for key, value in figures.items()}
        table.append(row)
        print(render_table(table), flush=True)
    first, claims = table[0], []
    for row in table[1:]:
        gains = [row[key] - first[key] for key in row if key.split()[0] in SETS]
        claims.append(claim(f"{row['encoder']} least gain over {first['encoder']}", min(gains), -0.005))
    save("encoder_pairs", {"encoders": table, "claims": claims})
    return 0


if __name__ == "__main__":
    sys.exit(main())
