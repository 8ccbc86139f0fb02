"""The decisions: every one appended to the table ``labels`` at once, and what stands of them in memory."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from imgsearch.labels.decisions import Decision, State, anchored, fold, followed, redo_target, undo_target
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.tables import LABELS

POLL_SECONDS = 1.0
MANY_FILES = 200


class Ledger:
    """The table ``labels``. Safe to use from several threads; other processes' rows are seen within a second."""

    def __init__(self, warehouse: DeltaFolder, cluster_of: Mapping[str, int], projection_id: str) -> None:
        """``cluster_of``: the cluster of each image in the projection ``projection_id``."""
        self._warehouse, self._cluster_of, self._projection_id = warehouse, cluster_of, projection_id
        self._lock = threading.RLock()
        self._files: set[str] = set()
        self._decisions: dict[str, Decision] = {}
        self._polled = -POLL_SECONDS
        self._last: tuple[datetime, str] = (datetime.min.replace(tzinfo=UTC), "")
        self._undone: set[str] = set()
        self._state = State({}, {})
        self.edition = 0
        """A number that grows with every row that arrives."""
        warehouse.compact(LABELS, MANY_FILES)
        self._read()

    @property
    def state(self) -> State:
        """What stands."""
        return self._state

    @property
    def decisions(self) -> list[Decision]:
        """Every decision, in order."""
        with self._lock:
            return sorted(self._decisions.values(), key=lambda d: d.order)

    def refresh(self) -> int:
        """Read what others have added, once a second at most; the edition then."""
        with self._lock:
            if time.monotonic() - self._polled >= POLL_SECONDS:
                self._read()
            return self.edition

    def add(self, who: str, kind: str, action: str, **values: Any) -> Decision:
        """Append a decision and take it in. It is in the table when this returns."""
        with self._lock:
            last = max((d.made_at for d in self._decisions.values() if d.made_by == who), default=None)
            now = datetime.now(UTC)
            decision = Decision(uuid.uuid4().hex, now if last is None else max(now, last), who, kind, action, **values)
            self._warehouse.append(LABELS, [decision._asdict() | {"image_ids": list(decision.image_ids)}])
            self._take_in([decision])
            return decision

    def undo(self, who: str, label_id: str | None = None) -> Decision | None:
        """Take back the decision ``label_id``, or else the last one of ``who``; what was taken back."""
        with self._lock:
            target = self._decisions.get(label_id) if label_id else undo_target(self._decisions.values(), who)
            return self._take_back(who, target)

    def redo(self, who: str) -> Decision | None:
        """Take back the last undo of ``who``, unless they decided something since; the decision that stands again."""
        with self._lock:
            undo = redo_target(list(self._decisions.values()), who)
            self._take_back(who, undo)
            return None if undo is None else self._decisions.get(undo.undoes or "")

    def _take_back(self, who: str, target: Decision | None) -> Decision | None:
        if target is not None:
            self.add(who, target.kind, "undo", cluster_id=target.cluster_id, n_images=target.n_images,
                     undoes=target.label_id)  # fmt: skip
        return target

    def _read(self) -> None:
        rows = self._warehouse.read_new(LABELS, self._files).to_pylist()
        self._polled = time.monotonic()
        self._take_in([Decision.of_row(row) for row in rows if row["label_id"] not in self._decisions])

    def _take_in(self, new: list[Decision]) -> None:
        if new:
            moved = sorted(anchored(new, self._cluster_of, self._projection_id), key=lambda d: d.order)
            is_step = moved[0].order > self._last and not any(d.action == "undo" for d in moved)
            self._decisions |= {d.label_id: d for d in moved}
            self._last = max(self._last, moved[-1].order)
            self.edition = len(self._decisions)
            # An undo may be earlier than what it undoes, by another machine's clock: then a step would be wrong.
            is_step = is_step and not any(d.label_id in self._undone for d in moved)
            self._undone |= {d.undoes for d in moved if d.undoes is not None}
            self._state = followed(self._state, moved) if is_step else fold(self._decisions.values())
