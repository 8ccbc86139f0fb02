"""All pictures of a thing: `search --spread` against plain search, on real photographs, and what it costs.

    make bench-spread                                     # quality; three minutes of embedding first
    make bench-spread ARGS="--vectors /tmp/v"             # embeddings are kept there and used again

Leave one out, 256 components: every image asks all others. ``plain`` is the cosine; the other rows are changes against
it. ``whitening .25`` is that projection, plain; ``expand 3`` query expansion with the cosine's first place kept;
``spread`` the diffusion of ``imgsearch/retrieval/diffusion.py``, of which each image's own node is taken out, so that
it asks as a new picture would. Beside the sets as they are, parts of ``grocery`` with few pictures of a thing
(``by twos``, ``by fives``: so many of each class, the mean of ten draws) and ``twos among all`` (every second class has
two pictures, and only they ask; the other classes are whole).
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402
from real_sets import embedded  # noqa: E402

from imgsearch.encoders.encoder import DEFAULT, resolve  # noqa: E402
from imgsearch.projections.moments import Moments  # noqa: E402
from imgsearch.projections.projection import fit  # noqa: E402
from imgsearch.retrieval.diffusion import spread_each  # noqa: E402
from imgsearch.retrieval.expansion import expand_each  # noqa: E402
from imgsearch.retrieval.graph import lists_of  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402
from imgsearch.topk.quality import retrieval  # noqa: E402

COLUMNS = ("mAP", "precision@1", "precision@10")
DRAWS = 10
#: Set → least gain of mAP by spreading, without and with whitening .25.
GOALS = {"grocery": (0.068, 0.08), "neu_det": (0.10, 0.10)}
WORST = -0.005


class Part(NamedTuple):
    """Images of a set: their embeddings, their classes, and the ``rows`` that ask."""

    embeddings: np.ndarray
    classes: np.ndarray
    rows: np.ndarray


def embeddings_of(name: str, cache: Path | None) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Embeddings of a set, and the rows of its truth."""
    with (DATA / name / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    stored = cache / f"{name}.npy" if cache else None
    if stored and stored.exists():
        return np.load(stored), truth
    embeddings, _ = embedded(resolve(DEFAULT), [DATA / name / "images" / row["path"] for row in truth])
    if stored:
        stored.parent.mkdir(parents=True, exist_ok=True)
        np.save(stored, embeddings)
    return embeddings, truth


def some_of_each(classes: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Rows: ``n`` of each class."""
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(classes == c))[:n] for c in np.unique(classes)]))


def parts_of(cache: Path | None) -> Iterator[tuple[str, list[Part]]]:
    """Every set and part of a set, by name: one part, or ten draws of it."""
    for name in ("grocery", "neu_det"):
        embeddings, truth = embeddings_of(name, cache)
        every = np.arange(len(embeddings))
        for column, title in (("label", name), ("kind", f"{name} kinds")):
            if column in truth[0]:
                classes = np.unique([row[column] for row in truth], return_inverse=True)[1]
                yield title, [Part(embeddings, classes, every)]
        if name == "grocery":
            classes = np.unique([row["label"] for row in truth], return_inverse=True)[1]
            for n, word in ((2, "twos"), (5, "fives")):
                draws = [some_of_each(classes, n, seed) for seed in range(DRAWS)]
                yield f"{name} by {word}", [Part(embeddings[r], classes[r], np.arange(len(r))) for r in draws]
            yield f"{name}, twos among all", [twos_among_all(embeddings, classes, seed) for seed in range(DRAWS)]


def twos_among_all(embeddings: np.ndarray, classes: np.ndarray, seed: int) -> Part:
    few = np.random.default_rng(seed).permutation(int(classes.max()) + 1)[::2]
    twos = np.intersect1d(some_of_each(classes, 2, seed), np.flatnonzero(np.isin(classes, few)))
    rows = np.union1d(twos, np.flatnonzero(~np.isin(classes, few)))
    return Part(embeddings[rows], classes[rows], np.flatnonzero(np.isin(rows, twos)))


def figures(part: Part) -> dict[str, np.ndarray]:
    """Way to search → ``COLUMNS``."""
    result = {}
    for name, whitening in (("plain", 0.0), ("whitening .25", 0.25)):
        projection = fit(Moments.of(part.embeddings), min(256, len(part.embeddings) - 1), DEFAULT, whitening)
        vectors = projection.apply(part.embeddings)
        lists = lists_of(vectors, 20)
        expanded, first = expand_each(vectors, 3, part.rows), lists.neighbours[part.rows, :1]
        more = "" if name == "plain" else f", {name}"
        asks = {name: {}, f"expand 3{more}": {"queries": expanded, "ahead": first}}
        asks[f"spread{more}"] = {"ahead": spread_each(lists, part.rows)}
        for way, how in asks.items():
            quality = retrieval(vectors, part.classes, (1, 10), rows=part.rows, **how)
            at_one, at_ten = np.nanmean(quality.precision_at_k, axis=0)
            result[way] = np.array([np.nanmean(quality.average_precision), at_one, at_ten])
    return result


def rows_of(name: str, draws: list[dict[str, np.ndarray]]) -> Iterator[dict[str, object]]:
    for way in draws[0]:
        values = np.mean([draw[way] if way == "plain" else draw[way] - draw["plain"] for draw in draws], axis=0)
        yield {"set": name, "search": way} | {c: float(v) for c, v in zip(COLUMNS, values, strict=True)}


def claims_of(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    claims = []
    spread_rows = [row for row in rows if str(row["search"]).startswith("spread")]
    for row in spread_rows:
        if row["set"] in GOALS:
            goal = GOALS[str(row["set"])]["whitening" in str(row["search"])]
            claims.append(claim(f"{row['set']} {row['search']} mAP gain", float(row["mAP"]), goal))
    worst = {column: min(float(row[column]) for row in spread_rows if row["search"] == "spread") for column in COLUMNS}
    return claims + [claim(f"worst cell of spread {column}", value, WORST) for column, value in worst.items()]


def rounded(row: dict[str, object]) -> dict[str, object]:
    form = ".4f" if row["search"] == "plain" else "+.4f"
    return {k: format(v, form) if isinstance(v, float) else v for k, v in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, default=None, help="keep embeddings in this folder")
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name, parts in parts_of(args.vectors):
        rows += rows_of(name, [figures(part) for part in parts])
        print(render_table([rounded(row) for row in rows if row["set"] == name]), flush=True)
    save("spread", {"rows": rows, "claims": claims_of(rows)})


if __name__ == "__main__":
    main()
