"""What the page sends as a decision, checked, and written with what finds its cluster again after a re-fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imgsearch.labels.decisions import ACTIONS, Decision
from imgsearch.review.answers import Answers, known_rows

MAX_NAME = 200
MAX_WHO = 80
MAX_IMAGES = 10_000


class DecisionError(ValueError):
    """A decision that cannot be taken: a sentence for the page."""


def decide(answers: Answers, who: str, given: Mapping[str, Any]) -> Decision:
    """Write the decision ``given`` (``kind``, ``action``, and what they need). Raises ``DecisionError``."""
    kind, action = given.get("kind"), given.get("action")
    if not isinstance(kind, str) or not isinstance(action, str) or action not in ACTIONS.get(kind, ()):
        raise DecisionError(f"there is no action {action!r} for {kind!r}")
    label = name_of(given.get("label"), required=action == "name")
    values: dict[str, Any] = {"label": label if action in ("name", "split") else None}
    if kind != "cluster":
        values |= _images(answers, given.get("image_ids"))
    if kind == "copies" and len(values["image_ids"]) < 2:
        raise DecisionError("an image is always the same as itself; give another one too")
    if kind in ("cluster", "part"):
        values |= _cluster(answers, given.get("cluster_id"), whole=kind == "cluster")
    if action == "same_as":
        values["other_cluster_id"] = _other(answers, given.get("other_cluster_id"), values["cluster_id"])
    return answers.ledger.add(who, kind, action, **values)


def name_of(given: object, required: bool) -> str | None:
    """A name without blanks around it and without control characters. Raises ``DecisionError``."""
    if given is not None and not isinstance(given, str):
        raise DecisionError("a name is text")
    name = " ".join("".join(c if c.isprintable() else " " for c in given or "").split())
    if len(name) > MAX_NAME:
        raise DecisionError(f"the name has {len(name)} characters; at most {MAX_NAME}")
    if required and not name:
        raise DecisionError("the name is empty")
    return name or None


def reviewer_name(given: object, default: str) -> str:
    """Who decides: what the page says, or ``default``. Raises ``DecisionError``."""
    name = name_of(given, required=False) or default
    if len(name) > MAX_WHO:
        raise DecisionError(f"the reviewer's name has {len(name)} characters; at most {MAX_WHO}")
    return name


def _images(answers: Answers, given: object) -> dict[str, Any]:
    if not isinstance(given, list) or not given or not all(isinstance(i, str) for i in given):
        raise DecisionError("no image is selected")
    if len(given) > MAX_IMAGES:
        raise DecisionError(f"{len(given):,} images are selected; at most {MAX_IMAGES:,}")
    image_ids = tuple(dict.fromkeys(given))
    if known_rows(answers.collection, image_ids) is None:
        raise DecisionError("one of these images is not in the warehouse any more; load the page again")
    return {"image_ids": image_ids, "n_images": len(image_ids)}


def _cluster(answers: Answers, given: object, whole: bool) -> dict[str, Any]:
    position = answers.collection.position_of.get(given) if type(given) is int else None
    if position is None:
        raise DecisionError(f"there is no cluster {given!r} any more; load the page again")
    medoid = answers.collection.medoid_row(position)
    values = {
        "cluster_id": given,
        "medoid_id": None if medoid is None else answers.collection.image_id(medoid),
        "member_digest": answers.digests[position],
        "projection_id": answers.collection.projection.projection_id,
    }
    return values | ({"n_images": int(answers.collection.sizes[position])} if whole else {})


def _other(answers: Answers, given: object, cluster_id: int) -> int:
    if type(given) is not int or given not in answers.collection.position_of:
        raise DecisionError(f"there is no cluster {given!r} any more; load the page again")
    if given == cluster_id:
        raise DecisionError("a cluster is always the same as itself; choose another")
    return given
