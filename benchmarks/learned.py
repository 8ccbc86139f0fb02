"""What a projection learned from names brings, on real photographs, for classes that were named and for new ones.

    make bench-learned                                   # ten draws; three minutes of embedding first
    make bench-learned ARGS="--draws 3 --vectors /tmp/v" # embeddings are kept there and used again

In each draw half of the classes are seen: of their images some are named, so that 5 % or 20 % of all images are. The
map is learned from these names with the shrinkage that cross-validation by class chooses. Every image of the other
classes (unseen) and every unnamed image of the seen ones (named) then asks all images, leave one out: change of mAP and
of precision@1 against the plain 256-d projection, mean and standard deviation over the draws. ``adopted`` is the share
of draws in which ``compress --labels`` would have used the map, ``harmed`` of draws in which it would have used it
though unseen classes lost mAP; ``as used`` is the change with the plain projection where it was declined.
The rows ``grocery kinds`` are the same photographs by three broad names, two of them named: few classes of many kinds,
too few to be tested, so that they are always declined.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402
from real_sets import embedded  # noqa: E402

from imgsearch.encoders.encoder import DEFAULT, resolve  # noqa: E402
from imgsearch.projections.adoption import compare, learn, leave_one_out, too_few  # noqa: E402
from imgsearch.projections.moments import Moments  # noqa: E402
from imgsearch.projections.projection import fit  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402
from imgsearch.vectors import unit  # noqa: E402

SHARES = (0.05, 0.2)
#: Share of images that are named → least gain of mAP: of unseen classes, of named ones.
GOALS = {0.05: (0.02, 0.06), 0.2: (0.03, 0.10)}
LABELS = {"grocery": ("label", "kind"), "neu_det": ("label",)}


class Draw(NamedTuple):
    """What one draw measured: changes of mAP and precision@1 of unseen and of named classes."""

    unseen: float
    unseen_at_1: float
    named: float
    named_at_1: float
    is_adopted: bool
    shrinkage: float


def vectors_of(name: str, cache: Path | None) -> tuple[np.ndarray, list[dict[str, str]]]:
    """256-d vectors of a set, and the rows of its truth."""
    with (DATA / name / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    kept = cache / f"{name}.npy" if cache else None
    if kept and kept.exists():
        embeddings = np.load(kept)
    else:
        embeddings, _ = embedded(resolve(DEFAULT), [DATA / name / "images" / row["path"] for row in truth])
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, embeddings)
    return fit(Moments.of(embeddings), 256, DEFAULT).apply(embeddings), truth


def change(vectors: np.ndarray, mapped: np.ndarray, classes: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Of mAP and of precision@1."""
    before, after = (leave_one_out(v, classes, rows) for v in (vectors, mapped))
    return tuple(float(np.nanmean(a) - np.nanmean(b)) for a, b in zip(after, before, strict=True))


def draw(vectors: np.ndarray, classes: np.ndarray, share: float, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    order = rng.permutation(int(classes.max()) + 1)
    seen = np.isin(classes, order[: (len(order) + 1) // 2])
    of_seen = rng.permutation(np.flatnonzero(seen))
    n_named = int(share * len(classes))
    named, others = of_seen[:n_named], of_seen[n_named:]
    numbers = np.unique(classes[named], return_inverse=True)[1]
    if too_few(numbers) is None:
        comparison = compare(vectors[named], numbers)
        shrinkage, is_adopted = comparison.shrinkage, comparison.is_adopted
    else:
        shrinkage, is_adopted = 0.5, False
    mapped = unit(vectors @ learn(vectors[named], numbers, shrinkage))
    unseen = change(vectors, mapped, classes, np.flatnonzero(~seen))
    return Draw(*unseen, *change(vectors, mapped, classes, others), is_adopted, shrinkage)


def row_of(name: str, share: float, draws: list[Draw]) -> dict[str, object]:
    figures = np.array(draws, np.float64)
    adopted = figures[:, 4] > 0
    means, spreads, used = figures.mean(axis=0), figures.std(axis=0), (figures[:, :4] * adopted[:, None]).mean(axis=0)
    columns = ("unseen mAP", "unseen p@1", "named mAP", "named p@1")
    row: dict[str, object] = {"set": name, "named": f"{share:.0%}"}
    row |= {c: f"{means[i]:+.3f} ± {spreads[i]:.3f}" for i, c in enumerate(columns)}
    row |= {"adopted": f"{adopted.mean():.0%}", "harmed": f"{(adopted & (figures[:, 0] < 0)).mean():.0%}"}
    return row | {"as used": f"{used[0]:+.3f} {used[2]:+.3f}", "shrinkage": f"{means[5]:.2f}"}


def claims_of(name: str, share: float, draws: list[Draw]) -> list[dict[str, object]]:
    means = np.array(draws, np.float64).mean(axis=0)
    goals = (("unseen mAP", GOALS[share][0]), ("unseen p@1", 0.0), ("named mAP", GOALS[share][1]), ("named p@1", 0.0))
    return [claim(f"{name} {share:.0%} {what} gain", float(means[i]), goal) for i, (what, goal) in enumerate(goals)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--vectors", type=Path, default=None, help="keep embeddings in this folder")
    args = parser.parse_args()
    rows, claims, measured = [], [], {}
    for name, columns in LABELS.items():
        vectors, truth = vectors_of(name, args.vectors)
        for column in columns:
            classes = np.unique([row[column] for row in truth], return_inverse=True)[1]
            title = name if column == "label" else f"{name} {column}s"
            for share in SHARES:
                draws = [draw(vectors, classes, share, seed) for seed in range(args.draws)]
                measured[f"{title} {share:.0%}"] = [each._asdict() for each in draws]
                rows.append(row_of(title, share, draws))
                print(rows[-1], flush=True)
                claims += claims_of(name, share, draws) if column == "label" else []
    print(render_table(rows))
    save("learned", {"rows": rows, "draws": measured, "claims": claims})


if __name__ == "__main__":
    main()
