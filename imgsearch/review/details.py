"""What the page shows of single images, of searches, and as lists: values for JSON, as in ``answers``."""

from __future__ import annotations

import csv
import io
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgsearch.labels.decisions import standing
from imgsearch.review.answers import PAGE, STRIP, Answers, Json, decision_card
from imgsearch.review.collection import NO_CLUSTER, carried_columns
from imgsearch.review.copies import copies_of
from imgsearch.review.doubts import contradictions, rivals
from imgsearch.review.finder import Found
from imgsearch.tables import IMAGES, LABEL_NEXT, QUARANTINE

SIMILAR = 50
VOTERS = 5
FACET_VALUES = 8
CANDIDATES, DOUBTS = 1_000, 60  # images that are looked at for contradictions; pairs and images that are shown


def image(answers: Answers, image_id: str) -> Json | None:
    """An image with its metadata, why it has its label, its copies; ``None`` where it is unknown."""
    row = answers.collection.row_of.get(image_id)
    if row is None:
        return None
    images = answers.collection.images
    columns = ["format", "width", "height", "n_bytes", "modified_at", *carried_columns(images)]
    where = pc.field("image_id") == image_id
    return answers.image_card(row) | {
        "metadata": {column: _text(images[column][row].as_py()) for column in columns},
        "paths": answers.warehouse.read(IMAGES, ["path"], where)["path"].to_pylist(),
        "why": _why(answers, row),
        "copies": copies_of(answers, image_id),
        "similar": matches(answers, answers.finder.like_row(row, SIMILAR)),
    }


def _why(answers: Answers, row: int) -> Json:
    """The decision about the image, or about its cluster; and the named images nearest to it."""
    collection, state = answers.collection, answers.ledger.state
    position = int(collection.cluster_rows[row])
    own = state.images.get(collection.image_id(row))
    decision = own if own is not None or position == NO_CLUSTER else state.clusters.get(answers.number(position))
    named = [r for i, d in state.images.items() if d.label and (r := collection.row_of.get(i)) not in (None, row)]
    peers = np.array(named, np.int64)
    scores = collection.vectors[peers] @ collection.vectors[row]
    best = np.argsort(-scores, kind="stable")[:VOTERS]
    return {
        "by": None if decision is None else ("image" if own is not None else "cluster"),
        "decision": None if decision is None else decision_card(decision),
        "voters": [answers.image_card(int(peers[i])) | {"score": float(scores[i])} for i in best],
    }


def matches(answers: Answers, found: Found) -> Json:
    """Matches with their scores, and how often each value of the carried metadata is among them."""
    cards = [_match(answers, row, score) for row, score in zip(found.rows, found.scores, strict=True)]
    return {"matches": cards, "facets": _facets(answers, found.rows)}


def _match(answers: Answers, row: int, score: float) -> Json:
    """An image with its score, and its values of the columns that images are told apart by."""
    images = answers.collection.images
    values = {column: _text(images[column][row].as_py()) for column in answers.collection.facets}
    return answers.image_card(row) | {"score": score, "values": values}


def _facets(answers: Answers, rows: list[int]) -> list[Json]:
    images = answers.collection.images.take(pa.array(rows, pa.int64()))
    facets = []
    for column in answers.collection.facets:
        counts = Counter(_text(value) for value in images[column].to_pylist() if value is not None)
        if 0 < len(counts) < max(len(rows), 2):  # not another value for each
            values = [{"value": value, "n": n} for value, n in counts.most_common(FACET_VALUES)]
            facets.append({"column": column, "values": values, "more": max(0, len(counts) - FACET_VALUES)})
    return facets


def refused(answers: Answers, reason: str | None, offset: int, limit: int = PAGE) -> Json:
    """What went to quarantine: counts by reason, and a page of names."""
    columns = ["path", "stage", "reason", "detail"]
    rows = answers.warehouse.read_or_empty(QUARANTINE, columns).sort_by(
        [("reason", "ascending"), ("path", "ascending")]
    )
    counts = Counter(rows["reason"].to_pylist())
    if reason is not None:
        rows = rows.filter(pc.equal(rows["reason"], reason))
    return {
        "reasons": [{"reason": name, "n": n} for name, n in counts.most_common()],
        "n": len(rows),
        "rows": rows.slice(offset, limit).to_pylist(),
    }


def history(answers: Answers, offset: int, limit: int = PAGE) -> Json:
    """Decisions, the latest first, and whether each stands."""
    decisions = answers.ledger.decisions[::-1]
    stands = {decision.label_id for decision in standing(decisions)}
    page = decisions[offset : offset + limit]
    return {
        "n": len(decisions),
        "decisions": [decision_card(d) | {"stands": d.label_id in stands} for d in page],
    }


def names_csv(answers: Answers) -> str:
    """The names that stand, as the CSV that `label --labels` reads: ``cluster_id``, ``image_id``, ``label``."""
    out, state = io.StringIO(), answers.ledger.state
    writer = csv.writer(out)
    writer.writerow(["cluster_id", "image_id", "label"])
    named = [(cluster_id, state.label(cluster_id)) for cluster_id in sorted(state.clusters)]
    writer.writerows([cluster_id, "", label] for cluster_id, label in named if label is not None)
    writer.writerows(["", image_id, d.label] for image_id, d in sorted(state.images.items()) if d.label is not None)
    return out.getvalue()


def doubts(answers: Answers) -> Json:
    """Names that contradict each other: pairs of clusters, and images near the border of a named cluster; and the
    images to name next."""
    collection, (_, statuses, _) = answers.collection, answers.now()
    names: dict[str, int] = {}
    of_cluster = np.full(len(statuses), -1, np.int64)
    for position, status in enumerate(statuses):
        if status == "named":
            of_cluster[position] = names.setdefault(answers.label_or_number(position), len(names))
    labels = np.where(collection.cluster_rows == NO_CLUSTER, -1, of_cluster[collection.cluster_rows])
    for image_id, decision in answers.ledger.state.images.items():
        if (row := collection.row_of.get(image_id)) is not None:
            labels[row] = -1 if decision.label is None else names.setdefault(decision.label, len(names))
    by_doubt = np.argsort(collection.margins, kind="stable")
    candidates = by_doubt[(labels >= 0)[by_doubt]][:CANDIDATES]
    words = list(names)
    return {
        "clusters": [
            {"score": pair.score, "pair": [answers.card(i, STRIP) for i in pair[:2]]}
            for pair in rivals(collection.clusters.centroids, of_cluster, collection.cohesion, DOUBTS)
        ],
        "images": [
            answers.image_card(c.row) | {"instead": words[c.instead], "share": c.share}
            for c in contradictions(collection.vectors, labels, candidates)[:DOUBTS]
        ],
        "next": _next_names(answers),
    }


def _next_names(answers: Answers) -> list[Json]:
    """The images of `label_next` that have no name of their own yet, with what each would be called."""
    table = answers.warehouse.read_or_empty(LABEL_NEXT, ["rank", "image_id", "label"]).sort_by("rank")
    open_ = [
        (row, value["label"])
        for value in table.to_pylist()
        if (row := answers.collection.row_of.get(value["image_id"])) is not None
        and value["image_id"] not in answers.ledger.state.images
    ]
    return [answers.image_card(row) | {"guess": guess} for row, guess in open_[:DOUBTS]]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
