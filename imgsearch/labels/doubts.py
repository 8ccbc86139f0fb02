"""How far labels can be trusted, and where not: ``label``'s rows of ``metrics``, ``conflicts`` and ``label_next``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.labels.ballot import Ballot, voter_ids
from imgsearch.labels.confidence import LEAST_NAMES, Reliability, cross_validated, learn, reliability, threshold_for
from imgsearch.labels.conflicts import conflicts
from imgsearch.labels.next_names import next_names
from imgsearch.labels.votes import Votes, held_out
from imgsearch.lake.batches import sample_rows
from imgsearch.lake.rows import frame_of
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import gallery_of
from imgsearch.tables import CONFIDENCE_METRICS, CONFLICTS, IMAGES, LABEL_NEXT, METRICS
from imgsearch.vectors import unpack

MOST_CONFLICTS = 1_000
MOST_NEXT = 100
#: Images among which the next to be named are chosen.
NEXT_SAMPLE = 4_000
#: Steps of the confidence in which images are counted for ``--target-precision``.
STEPS = 1_000


class Judged(NamedTuple):
    """The ballot with its curve, if there are names enough; the table that says how good that is; held-out votes."""

    ballot: Ballot
    table: Reliability | None
    votes: Votes


def judge(ballot: Ballot) -> Judged:
    """Vote on each named image without itself, and learn from it what a raw confidence is worth."""
    votes = held_out(ballot.voters, np.arange(len(ballot.ids)))
    raw, right = votes.confidence, votes.labels == ballot.voters.labels
    if len(raw) < LEAST_NAMES:
        return Judged(ballot, None, votes)
    table = reliability(cross_validated(raw, right), right)
    return Judged(ballot._replace(curve=learn(raw, right)), table, votes)


def write_reliability(warehouse: TableStore, table: Reliability | None) -> None:
    """Replace the ``confidence_`` rows of ``metrics``; there are none where too few names were given."""
    metrics: list[tuple[str, int | None, float, None]] = []
    if table is not None:
        metrics = [(f"{CONFIDENCE_METRICS}ece", None, table.ece, None)]
        for name in ("names", "confidence", "accuracy"):
            values = zip(table.bins.tolist(), getattr(table, name).tolist(), strict=True)
            metrics += [(f"{CONFIDENCE_METRICS}{name}", step, float(value), None) for step, value in values]
    where = f"startswith(metric, '{CONFIDENCE_METRICS}')"
    if metrics or (warehouse.exists(METRICS) and warehouse.read(METRICS).where(where).first() is not None):
        warehouse.replace(METRICS, frame_of(warehouse.spark, METRICS, metrics), where=where)


def write_conflicts(warehouse: TableStore, projection_id: str, judged: Judged) -> int:
    """Replace this projection's ``conflicts``, ``MOST_CONFLICTS`` at most; returns how many there are."""
    ballot, votes = judged.ballot, judged.votes
    found = conflicts(ballot.voters.labels, votes, ballot.voters, MOST_CONFLICTS)
    confidence = ballot.confidence(votes.confidence[found.rows])
    neighbours = voter_ids(ballot, votes.voters[found.rows]).to_pylist()
    rows = []
    for i, row in enumerate(found.rows.tolist()):
        cluster_id = int(ballot.cluster_ids[row])
        label, other = ballot.voters.labels[row], found.instead[i]
        rows.append((
            ballot.ids[row], projection_id, "image" if ballot.voters.is_own[row] else "cluster",
            None if cluster_id < 0 else cluster_id, ballot.words[label], ballot.words[other],
            float(found.share[i]), float(confidence[i]), neighbours[i],
        ))  # fmt: skip
    if rows or warehouse.exists(CONFLICTS):
        frame = frame_of(warehouse.spark, CONFLICTS, rows)
        warehouse.replace(CONFLICTS, frame, where=f"projection_id = '{projection_id}'")
    return len(rows)


def write_next(warehouse: TableStore, projection_id: str, spread: DataFrame) -> None:
    """Replace ``label_next``: of a sample of ``spread`` (``spreading.VOTE``), ``MOST_NEXT`` images at most."""
    total = spread.count()
    columns = ("image_id", "cluster_id", "label", "confidence", "nearest")
    some = sample_rows(spread.select(*columns), "image_id", NEXT_SAMPLE, total)

    def keep(rows: DataFrame) -> DataFrame:
        return rows.drop("cluster_id").join(some, on="image_id", how="inner").select(*columns, "vector")

    table = gallery_of(warehouse, projection_id, keep).toArrow().sort_by("image_id")  # about NEXT_SAMPLE rows
    confidence, nearest = (table.column(name).to_numpy().astype(np.float32) for name in ("confidence", "nearest"))
    chosen = next_names(unpack(table.column("vector")), confidence, nearest, MOST_NEXT)
    per_row = total / max(table.num_rows, 1)
    values = table.select(columns[:-1]).take(chosen.rows).to_pylist()
    rows = [
        (rank, value["image_id"], projection_id, value["cluster_id"], value["label"], value["confidence"], s * per_row)
        for rank, (value, s) in enumerate(zip(values, chosen.settles.tolist(), strict=True), start=1)
    ]
    names = ("rank", "image_id", "projection_id", "cluster_id", "label", "confidence", "settles")
    frame = frame_of(warehouse.spark, LABEL_NEXT, rows, names)
    paths = warehouse.read(IMAGES).select("image_id", "path").join(F.broadcast(frame), on="image_id", how="inner")
    rest = [F.min(name).alias(name) for name in ("path", *names) if name != "image_id"]
    warehouse.replace(LABEL_NEXT, paths.groupBy("image_id").agg(*rest).coalesce(1))


def least_confidence(spread: DataFrame, judged: Judged, min_confidence: float, target_precision: float | None) -> float:
    """The confidence below which labels are left out. Raises ``UserError`` where the precision cannot be reached."""
    if target_precision is None:
        return min_confidence
    if judged.table is None:
        raise UserError.option(
            "target_precision", target_precision,
            f"{len(judged.ballot.ids)} names are too few to say how often labels are right; name {LEAST_NAMES} images "
            "or clusters (`label` without this option lists the best ones in 'label_next')",
        )  # fmt: skip
    step = F.floor(F.col("confidence").cast("double") * STEPS).cast("int")
    counts = spread.where(F.col("label").isNotNull()).groupBy(step.alias("step")).count().toArrow()  # STEPS + 1 rows
    steps = counts.column("step").to_numpy() / STEPS
    threshold = threshold_for(steps, counts.column("count").to_numpy(), target_precision)
    if threshold is None:
        surest = f"{steps.max():.3f}" if len(steps) else "none"
        raise UserError.option(
            "target_precision", target_precision,
            f"even the surest labels are expected to be right less often ({surest}); ask for less, or name more images",
        )  # fmt: skip
    return max(min_confidence, threshold)
