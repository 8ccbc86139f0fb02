"""Whether the tables that the server read are still what it read."""

from __future__ import annotations

import time

from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.tables import CLUSTERS, MEMBERS, TableSpec

WATCHED: tuple[TableSpec, ...] = (CLUSTERS, MEMBERS)
POLL_SECONDS = 10.0


class Watch:
    """The versions of ``clusters`` and ``members`` when this was made, against those now."""

    def __init__(self, warehouse: DeltaFolder) -> None:
        """To be made before the tables are read: what is written meanwhile is then newer."""
        self._warehouse = warehouse
        self._versions = [warehouse.version(spec) for spec in WATCHED]
        self._looked = time.monotonic()
        self._is_stale = False

    def is_stale(self) -> bool:
        """Whether clusters were made or images assigned since; looked for once in ``POLL_SECONDS`` at most."""
        if not self._is_stale and time.monotonic() - self._looked >= POLL_SECONDS:
            self._looked = time.monotonic()
            self._is_stale = [self._warehouse.version(spec) for spec in WATCHED] != self._versions
        return self._is_stale
