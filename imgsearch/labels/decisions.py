"""What people decided about clusters and images, row by row, and what stands of it: a fold of the table ``labels``.

Nothing is ever changed or removed. An undo is one more row, a redo is the undo of an undo, and the last decision that
stands about a cluster or an image wins. So two people at once lose nothing, and the order in which their rows are read
does not matter.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

Kind = Literal["cluster", "part", "image", "copies"]
Action = Literal["name", "mixed", "junk", "same_as", "split", "drop", "not_same", "undo"]
#: Which actions there are for which kind.
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "cluster": ("name", "mixed", "junk", "same_as"),
    "part": ("split", "drop"),
    "image": ("name", "drop"),
    "copies": ("not_same",),
}
Status = Literal["open", "named", "mixed", "junk", "same_as"]
#: A cluster that grew or shrank by more than this share since it was decided about is looked at again.
CHANGE = 0.10


class Decision(NamedTuple):
    """A row of ``labels``; see there. ``image_ids`` is empty for a cluster."""

    label_id: str
    made_at: datetime
    made_by: str
    kind: str
    action: str
    label: str | None = None
    cluster_id: int | None = None
    other_cluster_id: int | None = None
    image_ids: tuple[str, ...] = ()
    medoid_id: str | None = None
    member_digest: str | None = None
    projection_id: str | None = None
    n_images: int | None = None
    undoes: str | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Decision:
        """From a row of the table."""
        values = {name: row.get(name) for name in cls._fields}
        return cls(**values | {"image_ids": tuple(row.get("image_ids") or ())})

    @property
    def order(self) -> tuple[datetime, str]:
        """The one order of decisions."""
        return self.made_at, self.label_id


class State(NamedTuple):
    """What stands: the last decision about each cluster and about each image.

    ``apart``: pairs of images that somebody said are not the same, however alike they look.
    """

    clusters: dict[int, Decision]
    images: dict[str, Decision]
    apart: frozenset[frozenset[str]] = frozenset()

    def status(self, cluster_id: int) -> Status:
        """What became of a cluster. A cluster that shares the name of an open one waits as ``same_as``."""
        decision = self.clusters.get(cluster_id)
        if decision is None:
            return "open"
        if decision.action == "same_as":
            return "named" if self.label(cluster_id) is not None else "same_as"
        return "named" if decision.action == "name" else decision.action  # type: ignore[return-value]

    def label(self, cluster_id: int) -> str | None:
        """The cluster's name: its own, or that of the cluster that it is the same as."""
        visited: set[int] = set()
        current: int | None = cluster_id
        while current is not None and current not in visited:
            visited.add(current)
            decision = self.clusters.get(current)
            if decision is None or decision.action not in ("name", "same_as"):
                return None
            if decision.action == "name":
                return decision.label
            current = decision.other_cluster_id
        return None


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """The decisions that are not undone, in order; an undo that stands is among them."""
    ordered = sorted(decisions, key=lambda d: d.order)
    undoers: dict[str, list[Decision]] = defaultdict(list)
    for decision in ordered:
        if decision.action == "undo" and decision.undoes is not None:
            undoers[decision.undoes].append(decision)
    if not undoers:
        return ordered
    stands: dict[str, bool] = {}
    for decision in ordered:
        _settle(decision, undoers, stands)
    return [decision for decision in ordered if stands[decision.label_id]]


def _settle(decision: Decision, undoers: Mapping[str, Sequence[Decision]], stands: dict[str, bool]) -> None:
    """Whether ``decision`` stands: whether no undo of it does. Without recursion: chains may be long."""
    waiting = [decision]
    visiting: set[str] = set()
    while waiting:
        current = waiting[-1]
        visiting.add(current.label_id)
        against = undoers.get(current.label_id, ())
        unsettled = [d for d in against if d.label_id not in stands and d.label_id not in visiting]
        if unsettled:
            waiting += unsettled
        else:
            stands[current.label_id] = not any(stands.get(d.label_id, False) for d in against)
            visiting.discard(current.label_id)
            waiting.pop()


def fold(decisions: Iterable[Decision]) -> State:
    """The state that the decisions lead to, in whatever order they are given."""
    return followed(State({}, {}), (d for d in standing(decisions) if d.action != "undo"))


def followed(state: State, decisions: Iterable[Decision]) -> State:
    """The state after decisions, in order, that are later than all of ``state`` and no undos: a step of the fold."""
    clusters, images, apart = dict(state.clusters), dict(state.images), set(state.apart)
    for decision in decisions:
        if decision.kind == "copies":
            apart |= pairs_apart(decision)
        elif decision.kind != "cluster":
            images.update(dict.fromkeys(decision.image_ids, decision))
        elif decision.cluster_id is not None:
            clusters[decision.cluster_id] = decision
    return State(clusters, images, frozenset(apart) if len(apart) > len(state.apart) else state.apart)


def pairs_apart(decision: Decision) -> set[frozenset[str]]:
    """The pairs of a decision ``not_same``: its first image with each of the others."""
    first, *others = decision.image_ids or ("",)
    return {frozenset((first, other)) for other in others if other != first}


def undo_target(decisions: Iterable[Decision], who: str) -> Decision | None:
    """What ``who`` takes back next: their last decision that stands."""
    own = [d for d in standing(decisions) if d.made_by == who and d.action != "undo"]
    return own[-1] if own else None


def redo_target(decisions: Sequence[Decision], who: str) -> Decision | None:
    """The undo that ``who`` takes back next: their last that stands, unless they decided something since."""
    by_id = {d.label_id: d for d in decisions}
    own = [d for d in standing(decisions) if d.made_by == who and d.action == "undo" and _is_undo(d, by_id)]
    last = max((d.order for d in decisions if d.made_by == who and d.action != "undo"), default=None)
    return own[-1] if own and (last is None or own[-1].order > last) else None


def _is_undo(decision: Decision, by_id: Mapping[str, Decision]) -> bool:
    """Whether this takes a decision back; false for a redo, which takes an undo back."""
    target = by_id.get(decision.undoes or "")
    return target is None or target.action != "undo"


def anchored(decisions: Iterable[Decision], cluster_of: Mapping[str, int], projection_id: str) -> list[Decision]:
    """Decisions with the numbers that their clusters have now.

    ``cluster_of``: the cluster in which each image lies in the projection ``projection_id``; the medoids suffice. A
    re-fit keeps the numbers of clusters that are still there, so a number of this projection stays. A cluster of
    another projection is where its medoid lies; where that is nowhere, the decision is about no cluster.
    """
    moved = []
    for decision in decisions:
        if decision.projection_id not in (None, projection_id) and decision.cluster_id is not None:
            other = decision.other_cluster_id if decision.action == "same_as" else None
            place = cluster_of.get(decision.medoid_id or "")
            moved.append(decision._replace(cluster_id=place, other_cluster_id=other))
        else:
            moved.append(decision)
    return moved


def needs_another_look(decision: Decision, n_images: int, digest: str, projection_id: str) -> bool:
    """Whether a cluster is another than the one that ``decision`` was about: regrouped, grown or shrunk.

    ``n_images`` and ``digest``: of the cluster now.
    """
    if decision.member_digest == digest:
        return False
    if decision.projection_id not in (None, projection_id):
        return True
    then = decision.n_images
    return then is not None and abs(n_images - then) > CHANGE * then


def digest_of(image_ids: Iterable[str]) -> str:
    """``member_digest`` of a cluster with these images.

    >>> digest_of(["b", "a"]) == digest_of(["a", "b"])
    True
    """
    return hashlib.sha256("".join(f"{image_id}\n" for image_id in sorted(image_ids)).encode()).hexdigest()
