"""How far labels spread from a few names can be trusted, on real photographs: how many, how right, how honest.

    make bench-label-doubt                                   # two minutes of embedding first
    make bench-label-doubt ARGS="--vectors /tmp/v"           # embeddings are kept there and used again
    make bench-label-doubt ARGS="--n-clusters 100 250"       # other numbers of clusters than cluster --n-clusters auto

Every cluster is named after its medoid, and the names are spread as ``label`` does it. Printed are the accuracy of the
surest labels at each coverage (images that were named are not counted), beside "the whole cluster gets the medoid's
label" at full coverage, and the expected calibration error of the confidence against the truth. Then 100 more images
are named: the first of ``label_next``, or drawn at random (mean of ten draws). Coverage is compared at the accuracy
that the random names reach when they cover 80 %. ``room`` is what a gain could be at most.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from learned import vectors_of  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch.clusters import kmeans  # noqa: E402
from imgsearch.clusters.count import choose_n_clusters  # noqa: E402
from imgsearch.clusters.seeding import initial_centroids  # noqa: E402
from imgsearch.labels.confidence import LEAST_NAMES, learn, reliability  # noqa: E402
from imgsearch.labels.next_names import next_names  # noqa: E402
from imgsearch.labels.votes import Voters, Votes, held_out, vote  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402

COVERAGES = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
N_NAMES, DRAWS, SEED = 100, 10, 7
GAIN, ECE = 0.03, 0.05


class Clustered(NamedTuple):
    """A set: vectors (n, dim), true labels (n,), centroids (c, dim), each image's cluster (n,), medoids' rows (c,)."""

    vectors: np.ndarray
    truth: np.ndarray
    centroids: np.ndarray
    clusters: np.ndarray
    medoids: np.ndarray


class Spread(NamedTuple):
    """Labels of the images that nobody named (``rows``), their confidence, and whether each is right."""

    rows: np.ndarray
    votes: Votes
    confidence: np.ndarray
    right: np.ndarray

    def accuracy_at(self, coverage: float) -> float:
        order = np.argsort(-self.votes.confidence, kind="stable")
        return float(self.right[order[: max(1, round(coverage * len(order)))]].mean())

    def coverage_at(self, accuracy: float) -> float:
        order = np.argsort(-self.votes.confidence, kind="stable")
        good = np.flatnonzero(np.cumsum(self.right[order]) >= accuracy * np.arange(1, len(order) + 1))
        return float((good[-1] + 1) / len(order)) if len(good) else 0.0

    @property
    def ece(self) -> float:
        return reliability(self.confidence, self.right).ece

    @property
    def raw_ece(self) -> float:
        return reliability(self.votes.confidence, self.right).ece


def clustered(vectors: np.ndarray, truth: np.ndarray, n_clusters: int) -> Clustered:
    centroids = initial_centroids(vectors, n_clusters, np.random.default_rng(SEED), n_rounds=20)
    clusters = kmeans.assign(vectors, centroids).cluster_ids.astype(np.int64)
    used = np.unique(clusters)
    clusters, centroids = np.searchsorted(used, clusters), centroids[used]
    scores = np.where(clusters[:, None] == np.arange(len(used)), vectors @ centroids.T, -np.inf)
    return Clustered(vectors, truth, centroids, clusters, scores.argmax(axis=0))


def spread(made: Clustered, own: np.ndarray) -> Spread:
    """Every cluster named after its medoid, and the images ``own`` named themselves."""
    named = np.concatenate([made.medoids, own])
    is_own = np.arange(len(named)) >= len(made.medoids)
    names = made.truth[made.medoids]
    voters = Voters(made.vectors[named], made.truth[named], is_own, made.centroids, names, np.arange(len(made.medoids)))
    checked = held_out(voters, np.arange(len(named)))
    enough = len(named) >= LEAST_NAMES  # as in ``label``
    curve = learn(checked.confidence, checked.labels == voters.labels) if enough else None
    rows = np.setdiff1d(np.arange(len(made.vectors)), named)
    votes = vote(made.vectors[rows], voters)
    confidence = votes.confidence if curve is None else curve.of(votes.confidence)
    return Spread(rows, votes, confidence, votes.labels == made.truth[rows])


def with_more_names(made: Clustered, before: Spread) -> dict[str, Any]:
    """100 more names: those of ``label_next``, and random ones."""
    chosen = next_names(made.vectors[before.rows], before.confidence, before.votes.nearest, N_NAMES)
    after = spread(made, before.rows[chosen.rows])
    draws = [
        spread(made, np.random.default_rng(seed).choice(before.rows, N_NAMES, replace=False)) for seed in range(DRAWS)
    ]
    level = float(np.mean([each.accuracy_at(0.8) for each in draws]))
    return {
        "accuracy": level,
        "next_coverage": after.coverage_at(level),
        "random_coverage": float(np.mean([each.coverage_at(level) for each in draws])),
        "next_accuracy_at_80": after.accuracy_at(0.8),
        "next_ece": after.ece,
        "random_ece": float(np.mean([each.ece for each in draws])),
    }


def measure(name: str, made: Clustered) -> dict[str, Any]:
    own = np.zeros(0, np.int64)
    before = spread(made, own)
    whole = float((made.truth[made.medoids][made.clusters] == made.truth)[before.rows].mean())
    curve = {f"{coverage:.0%}": before.accuracy_at(coverage) for coverage in COVERAGES}
    figures: dict[str, Any] = {"set": name, "clusters": len(made.medoids), "images": len(before.rows)}
    figures |= {"whole_cluster": whole, "room": 1 - whole, **curve, "ece": before.ece, "raw_ece": before.raw_ece}
    return figures | with_more_names(made, before)


def claims_of(title: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    more = figures["next_coverage"] - figures["random_coverage"]
    claims = [claim(f"{title} gain at 80% coverage", figures["80%"] - figures["whole_cluster"], GAIN)]
    if figures["clusters"] >= LEAST_NAMES:
        claims.append(claim(f"{title} ece medoids only", figures["ece"], ECE, at_least=False))
    return [
        *claims,
        claim(f"{title} ece with 100 random names", figures["random_ece"], ECE, at_least=False),
        claim(f"{title} ece with 100 of label_next", figures["next_ece"], ECE, at_least=False),
        claim(f"{title} coverage with label_next over random", more, 0.001),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-clusters", type=int, nargs="*", default=None, help="default: as many as `auto` chooses")
    parser.add_argument("--vectors", type=Path, default=None, help="keep embeddings in this folder")
    args = parser.parse_args()
    rows, claims = [], []
    for name in ("grocery", "neu_det"):
        vectors, table = vectors_of(name, args.vectors)
        truth = np.unique([row["label"] for row in table], return_inverse=True)[1]
        counts = args.n_clusters or [choose_n_clusters(vectors, seed=SEED).n_clusters]
        for n_clusters in counts:
            figures = measure(name, clustered(vectors, truth, n_clusters))
            rows.append(figures)
            title = name if args.n_clusters is None else f"{name} {n_clusters}"
            claims += claims_of(title, figures)
    print(render_table([{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in rows]))
    save("label_doubt", {"rows": rows, "claims": claims})


if __name__ == "__main__":
    main()
