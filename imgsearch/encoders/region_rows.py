"""Regions as columns: those of an image packed in one value while they travel, one row each in the tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from imgsearch.encoders.regions import Regions
from imgsearch.lake.batches import Batches
from imgsearch.projections.projection import Projection
from imgsearch.projections.storage import shrink
from imgsearch.tables import BOX
from imgsearch.vectors import Matrix, pack, pack_bytes, unpack, unpack_bytes

#: What the UDF adds for the regions of an image, each packed: float32 boxes, embeddings, stored vectors.
PACKED = "boxes binary, regions binary, region_vectors binary"


def packed_regions(regions: Regions, projection: Projection | None) -> dict[str, list[bytes | None]]:
    """The columns of ``PACKED``, n values each. ``region_vectors`` is null without a ``projection``."""
    n, _, dim = regions.embeddings.shape
    columns: dict[str, list[bytes | None]] = {
        "boxes": pack(regions.boxes.reshape(n, -1)).to_pylist(),
        "regions": pack(regions.embeddings.reshape(n, -1)).to_pylist(),
        "region_vectors": [None] * n,
    }
    if projection is not None and n:
        vectors: Matrix = projection.apply(regions.embeddings.reshape(-1, dim))
        columns["region_vectors"] = pack_bytes(shrink(vectors, projection.storage).reshape(n, -1)).to_pylist()
    return columns


def region_schema(column: str) -> str:
    """The rows that ``rows_of_regions`` makes; ``column``: ``embedding`` or ``vector``."""
    return f"image_id string, region int, {', '.join(f'{name} float' for name in BOX)}, {column} binary"


def rows_of_regions(column: str) -> Callable[[Batches], Batches]:
    """(image_id, boxes, packed rows) batches → a row of ``region_schema`` for each region; none for a row of zeros."""

    def unfold(batches: Batches) -> Batches:
        for batch in batches:
            if len(batch):
                yield _unfolded(batch, column)

    return unfold


def _unfolded(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    boxes = unpack(batch.column(1)).reshape(len(batch), -1, 4)
    n, n_regions = boxes.shape[:2]
    rows = unpack_bytes(batch.column(2)).reshape(n * n_regions, -1)
    some = np.flatnonzero(rows.any(axis=1))
    ids = batch.column(0).take(pa.array(some // n_regions))
    numbers = pa.array((some % n_regions + 1).astype(np.int32))
    corners = [pa.array(values) for values in np.ascontiguousarray(boxes.reshape(-1, 4)[some].T)]
    names = ["image_id", "region", *BOX, column]
    return pa.RecordBatch.from_arrays([ids, numbers, *corners, pack_bytes(rows[some])], names=names)
