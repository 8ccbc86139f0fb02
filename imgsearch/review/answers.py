"""What the page shows, as plain values for JSON: clusters, images, searches, decisions. Nothing here knows HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from imgsearch.labels.decisions import Decision, State, Status, digest_of, needs_another_look
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review.collection import NO_CLUSTER, Collection
from imgsearch.review.finder import Finder
from imgsearch.review.ledger import Ledger
from imgsearch.review.queue import looks_mixed, nearest_clusters, progress, queue_order, samples
from imgsearch.tables import EMBEDDINGS

CENTRAL, BORDERLINE = 13, 8  # pictures of a cluster that the queue shows: two rows and one
STRIP = 6
PAGE = 200
Json = dict[str, Any]


class Answers:
    """Everything that the page asks for. Safe to use from several threads."""

    def __init__(self, warehouse: DeltaFolder, collection: Collection, ledger: Ledger, finder: Finder) -> None:
        self.warehouse, self.collection, self.ledger, self.finder = warehouse, collection, ledger, finder
        self._current: tuple[State, list[Status], NDArray[np.bool_]] | None = None

    @cached_property
    def mixed(self) -> NDArray[np.bool_]:
        """(c,) which clusters look mixed."""
        return looks_mixed(self.collection.clusters.silhouette, self.collection.sizes)

    @cached_property
    def sharpness(self) -> NDArray[np.float32]:
        """(n,) sharpness of each image; 0 where it was not measured."""
        where = pc.field("encoder_id") == self.collection.encoder.encoder_id
        rows = self.warehouse.read_or_empty(EMBEDDINGS, ["image_id", "sharpness"], where)
        at = pc.fill_null(pc.index_in(rows["image_id"], value_set=self.collection.image_ids), -1).to_numpy()
        values = np.zeros(len(self.collection.image_ids), np.float32)
        values[at[at >= 0]] = np.nan_to_num(rows["sharpness"].to_numpy().astype(np.float32))[at >= 0]
        return values

    @cached_property
    def digests(self) -> list[str]:
        """The member digest of each cluster."""
        ids = np.array(self.collection.image_ids.to_pylist(), object)
        return [digest_of(ids[rows]) for rows in self.collection.members]

    @cached_property
    def walk(self) -> list[int]:
        """Positions of the clusters in the order of a walk, whatever is decided: largest first, mixed ones last."""
        everything = np.ones(len(self.mixed), bool)
        return [int(i) for i in queue_order(self.collection.sizes, everything, ~everything, self.mixed)]

    @cached_property
    def place_in_walk(self) -> dict[int, int]:
        """The place of each position in ``walk``."""
        return {position: place for place, position in enumerate(self.walk)}

    def now(self) -> tuple[State, list[Status], NDArray[np.bool_]]:
        """What stands, the status of each cluster, and which are to be looked at again; made once an edition."""
        state = self.ledger.state
        current = self._current
        if current is None or current[0] is not state:
            statuses: list[Status] = ["open"] * len(self.collection.clusters.ids)
            again = np.zeros(len(statuses), bool)
            for cluster_id, decision in state.clusters.items():
                position = self.collection.position_of.get(cluster_id)
                if position is not None:
                    statuses[position] = state.status(cluster_id)
                    again[position] = needs_another_look(
                        decision, int(self.collection.sizes[position]), self.digests[position],
                        self.collection.projection.projection_id,
                    )  # fmt: skip
            self._current = current = state, statuses, again
        return current

    def summary(self) -> Json:
        """How far the work is, and the names there are, commonest first."""
        state, statuses, again = self.now()
        sizes = self.collection.sizes
        counts = self._images_by_label(state)
        done = progress(sizes, statuses, len(self.collection.image_ids), counts.total())
        return {
            "edition": self.ledger.edition,
            "progress": done._asdict(),
            "again": int(again.sum()),
            "statuses": dict(Counter(s for s, n in zip(statuses, sizes, strict=True) if n)),
            "names": [{"label": label, "images": n} for label, n in counts.most_common()],
        }

    def _images_by_label(self, state: State) -> Counter[str]:
        """How many images have each name, an image's own before its cluster's."""
        counts: Counter[str] = Counter()
        labels: dict[int, str] = {}
        for cluster_id in state.clusters:
            position, label = self.collection.position_of.get(cluster_id), state.label(cluster_id)
            if position is not None and label is not None:
                labels[position] = label
                counts[label] += int(self.collection.sizes[position])
        for image_id, decision in state.images.items():
            row = self.collection.row_of.get(image_id)
            if row is None:
                continue
            inherited = labels.get(int(self.collection.cluster_rows[row]))
            if inherited is not None:
                counts[inherited] -= 1
            if decision.label is not None:
                counts[decision.label] += 1
        return +counts

    def queue(self, status: str | None, offset: int, limit: int = PAGE) -> Json:
        """Clusters in the order of work, as small cards. ``status``: only these (``again`` is one too)."""
        _, statuses, again = self.now()
        open_ = np.array([s in ("open", "same_as") for s in statuses], bool)
        order = queue_order(self.collection.sizes, open_, again, self.mixed).tolist()
        if status is not None:
            order = [i for i in order if (again[i] if status == "again" else statuses[i] == status)]
        return {"n": len(order), "clusters": [self.card(i, 1) for i in order[offset : offset + limit]]}

    def first(self) -> int | None:
        """The cluster to begin with: the first that is open or to be looked at again; else the first."""
        _, statuses, again = self.now()
        open_ = np.array([s == "open" for s in statuses], bool)
        order = queue_order(self.collection.sizes, open_, again, self.mixed)
        return self.number(int(order[0])) if len(order) else None

    def next_open(self, cluster_id: int) -> int | None:
        """The next cluster in the walk that is open or to be looked at again; ``None`` where there is none."""
        _, statuses, again = self.now()
        place = self.place_in_walk.get(self.collection.position_of.get(cluster_id, -1), -1)
        for step in range(1, len(self.walk) + 1):
            position = self.walk[(place + step) % len(self.walk)]
            if statuses[position] == "open" or again[position]:
                return self.number(position)
        return None

    def cluster(self, cluster_id: int) -> Json | None:
        """A cluster for the queue: pictures, neighbours, what was decided; ``None`` where there is no such cluster."""
        position = self.collection.position_of.get(cluster_id)
        if position is None or not self.collection.sizes[position]:
            return None
        collection = self.collection
        rows, medoid = collection.members[position], collection.medoid_row(position)
        central, borderline = samples(rows, collection.margins, medoid, CENTRAL, BORDERLINE)
        near = nearest_clusters(collection.clusters.centroids, position, collection.sizes)
        scores = collection.clusters.centroids[near] @ collection.clusters.centroids[position]
        place = self.place_in_walk[position]
        decision = self.ledger.state.clusters.get(cluster_id)
        return self.card(position, 0) | {
            "central": [self.image_card(row) for row in central],
            "borderline": [self.image_card(row) for row in borderline],
            "neighbours": [self.card(i, STRIP) | {"score": float(s)} for i, s in zip(near, scores, strict=True)],
            "inside": [label for label, _ in self._names_inside(position).most_common()],
            "silhouette": float(collection.clusters.silhouette[position]),
            "decision": None if decision is None else decision_card(decision),
            "place": place + 1,
            "places": len(self.walk),
            "previous": self.number(self.walk[place - 1]),
            "next": self.number(self.walk[(place + 1) % len(self.walk)]),
        }

    def _names_inside(self, position: int) -> Counter[str]:
        """The names that images of a cluster have by themselves."""
        own = ((self.collection.row_of.get(i), d.label) for i, d in self.ledger.state.images.items() if d.label)
        return Counter(label for row, label in own if row is not None and self.collection.cluster_rows[row] == position)

    def members(self, cluster_id: int, sort: str, offset: int, limit: int = PAGE) -> Json | None:
        """Images of a cluster: ``sort`` by doubt (least margin first), likeness, date or site."""
        position = self.collection.position_of.get(cluster_id)
        if position is None:
            return None
        rows = self.collection.members[position]
        if sort == "doubt":
            rows = rows[np.argsort(self.collection.margins[rows], kind="stable")]
        elif sort in ("date", "site"):
            texts = self.collection.dates if sort == "date" else self.collection.sites
            rows = np.array(sorted(rows.tolist(), key=lambda row: texts[row] or "~"), np.int64)
        page = [self.image_card(int(row)) for row in rows[offset : offset + limit]]
        return {"n": len(rows), "images": page, **self.card(position, 0)}

    def image_card(self, row: int) -> Json:
        """What stands under a picture."""
        collection = self.collection
        image_id, position = collection.image_id(row), int(collection.cluster_rows[row])
        own = self.ledger.state.images.get(image_id)
        return {
            "id": image_id,
            "name": str(collection.images["path"][row]).rpartition("/")[2],
            "site": collection.sites[row],
            "date": collection.dates[row],
            "cluster": None if position == NO_CLUSTER else self.number(position),
            "label": self.label_of(row),
            "own": None if own is None else own.action,
            "n_paths": int(collection.n_paths[row]),
        }

    def label_of(self, row: int) -> str | None:
        """An image's name: what was said of it, else its cluster's."""
        state, position = self.ledger.state, int(self.collection.cluster_rows[row])
        own = state.images.get(self.collection.image_id(row))
        if own is not None:
            return own.label
        return None if position == NO_CLUSTER else state.label(self.number(position))

    def label_or_number(self, position: int) -> str:
        """What a cluster is called."""
        cluster_id = self.number(position)
        return self.ledger.state.label(cluster_id) or f"#{cluster_id}"

    def card(self, position: int, n_images: int) -> Json:
        """A cluster in few words, with ``n_images`` pictures."""
        state, statuses, again = self.now()
        cluster_id = self.number(position)
        rows = [self.collection.medoid_row(position), *self.collection.members[position][:n_images].tolist()]
        pictures = list(dict.fromkeys(self.collection.image_id(row) for row in rows if row is not None))
        decision = state.clusters.get(cluster_id)
        return {
            "id": cluster_id,
            "size": int(self.collection.sizes[position]),
            "status": statuses[position],
            "label": state.label(cluster_id),
            "same_as": decision.other_cluster_id if decision is not None and decision.action == "same_as" else None,
            "mixed": bool(self.mixed[position]),
            "again": bool(again[position]),
            "pictures": pictures[:n_images],
        }

    def number(self, position: int) -> int:
        """The number of the cluster at a position."""
        return int(self.collection.clusters.ids[position])


def decision_card(decision: Decision) -> Json:
    """A decision for people."""
    return {
        "id": decision.label_id,
        "at": decision.made_at.isoformat(timespec="seconds"),
        "by": decision.made_by,
        "kind": decision.kind,
        "action": decision.action,
        "label": decision.label,
        "cluster": decision.cluster_id,
        "other": decision.other_cluster_id,
        "images": list(decision.image_ids[:STRIP]),
        "n_images": decision.n_images,
        "undoes": decision.undoes,
    }


def known_rows(collection: Collection, image_ids: Iterable[str]) -> list[int] | None:
    """The rows of these images; ``None`` where one of them is unknown."""
    rows = [collection.row_of.get(image_id) for image_id in image_ids]
    return None if any(row is None for row in rows) else [int(row) for row in rows if row is not None]
