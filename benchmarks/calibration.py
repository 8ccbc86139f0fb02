"""Does a calibrated threshold hold on things that the truth does not name? On real photographs.

    make bench-calibration                           # three minutes of embedding first
    make bench-calibration ARGS="--vectors /tmp/v"   # embeddings are kept there and used again

In each of ten draws half of the things are named. The threshold is learned from them: from the best matches among their
images (``calibrate``), and from all pairs of them, as a reference. Then every image of the other half asks the whole
set for its best other image. ``precision``: how often that is the same thing, where it scores the threshold or more;
``answered``: how often it does. Means and standard deviations over the draws.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from learned import vectors_of  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch.labels.calibration import calibrate, first_matches  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402

TARGETS = (0.95, 0.98)
SETS = ("grocery", "neu_det")
TOLERANCE = 0.02
DRAWS = 10


def of_all_pairs(vectors: np.ndarray, labels: np.ndarray, target: float) -> float:
    """The threshold of all pairs; infinite where there is none."""
    left, right = np.triu_indices(len(vectors), 1)
    found = calibrate((vectors @ vectors.T)[left, right], labels[left] == labels[right], target)
    return np.inf if found is None else found.threshold


def of_first_matches(vectors: np.ndarray, labels: np.ndarray, target: float) -> float:
    """The threshold of best matches; infinite where there is none."""
    found = calibrate(*first_matches(vectors, labels), target)
    return np.inf if found is None else found.threshold


def draws(vectors: np.ndarray, labels: np.ndarray, target: float) -> dict[str, np.ndarray]:
    """``precision`` and ``answered`` of the unnamed half, a row a draw, for both ways to learn."""
    scores, right = first_matches(vectors, labels)
    rows: dict[str, list[tuple[float, float]]] = {"best matches": [], "all pairs": []}
    for seed in range(DRAWS):
        things = np.random.default_rng(seed).permutation(np.unique(labels))
        is_named = np.isin(labels, things[: len(things) // 2])
        for name, learn in (("best matches", of_first_matches), ("all pairs", of_all_pairs)):
            is_yes = ~is_named & (scores >= learn(vectors[is_named], labels[is_named], target))
            precision = right[is_yes].mean() if is_yes.any() else np.nan
            rows[name].append((float(precision), float(is_yes.sum() / (~is_named).sum())))
    return {name: np.array(values) for name, values in rows.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path)
    given = parser.parse_args()
    table, claims = [], []
    for name in SETS:
        vectors, truth = vectors_of(name, given.vectors)
        labels = np.array([row["label"] for row in truth])
        for target in TARGETS:
            found = draws(vectors, labels, target)
            for way, values in found.items():
                means, spreads = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
                figures = {key: f"{means[i]:.3f} ± {spreads[i]:.3f}" for i, key in enumerate(("precision", "answered"))}
                table.append({"set": name, "target": target, "learned from": way, **figures})
            precision, answered = np.nanmean(found["best matches"], axis=0)
            claims += [
                claim(f"{name} {target} precision on other things", float(precision), target - TOLERANCE),
                claim(f"{name} {target} answered over all pairs", float(answered - found["all pairs"][:, 1].mean()), 0),
            ]
    print(render_table(table))
    save("calibration", {"sets": table, "claims": claims})
    return 0


if __name__ == "__main__":
    sys.exit(main())
