"""Bytes that a table holds for images (``thumbnails``, ``contents``), fetched one at a time without Spark."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.tables import TableSpec

if TYPE_CHECKING:
    from pyarrow.dataset import ParquetFileFragment


class StoredBytes:
    """The ``column`` of ``spec`` by the row of an image in ``image_ids``.

    Where each image stands (file and row group) is read once, at the first request; a request reads one row group.
    """

    def __init__(self, warehouse: DeltaFolder, spec: TableSpec, column: str, image_ids: pa.StringArray) -> None:
        self._warehouse, self._spec, self._column, self._image_ids = warehouse, spec, column, image_ids
        self._lock = threading.Lock()
        self._groups: list[ParquetFileFragment] = []
        self._group_of: NDArray[np.int32] | None = None

    def get(self, row: int) -> bytes | None:
        """The bytes of an image; ``None`` where the table has none, or its file was removed since."""
        group = self._places()[row]
        if group < 0:
            return None
        image_id = self._image_ids[row]
        try:
            rows = self._groups[group].to_table(columns=[self._column], filter=pc.field("image_id") == image_id)
        except (OSError, pa.ArrowException):
            return None
        return bytes(rows[self._column][0].as_py()) if len(rows) else None

    def _places(self) -> NDArray[np.int32]:
        """(n,) the place in ``_groups`` of each image; -1 for none."""
        with self._lock:
            if self._group_of is None:
                self._group_of = self._located()
            return self._group_of

    def _located(self) -> NDArray[np.int32]:
        group_of = np.full(len(self._image_ids), -1, np.int32)
        for file in self._warehouse.files(self._spec):
            ids = file.to_table(columns=["image_id"])["image_id"]
            at = pc.fill_null(pc.index_in(ids, value_set=self._image_ids), -1).to_numpy()
            parts = file.split_by_row_group()
            sizes = [part.row_groups[0].num_rows for part in parts]
            places = np.repeat(np.arange(len(parts), dtype=np.int32), sizes) + len(self._groups)
            group_of[at[at >= 0]] = places[at >= 0]
            self._groups += parts
        return group_of
