"""Views of images as a frame: from a file's bytes to the vectors of each view, in one pass.

A view has a vector in one of two spaces: ``NETWORK`` (embedded and projected) or ``LAYOUT`` (``layout``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.layout import layouts
from imgsearch.encoders.runtime import Runtime
from imgsearch.encoders.udf import worker_runtime
from imgsearch.encoders.views import embed_views, view_names
from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits, decode
from imgsearch.lake.batches import Batches
from imgsearch.lake.local_files import own_contents
from imgsearch.lake.lost_workers import is_retry
from imgsearch.projections.projection import Projection

VIEW_SCHEMA = "image_id string, space string, view string, vector binary"
NETWORK, LAYOUT = "network", "layout"


class Viewer(NamedTuple):
    """What a task needs: the network, the projection, the ``ways`` of ``--augment``, and what a decode may cost."""

    encoder: Encoder
    graph: Broadcast[bytes]
    projection: Broadcast[Projection]
    ways: tuple[str, ...]
    limits: DecodeLimits


def view_rows(images: DataFrame, viewer: Viewer) -> DataFrame:
    """``image_id``, ``path``, ``content`` (or null) → ``VIEW_SCHEMA``: a row a view, of every image that can be used.

    A file whose bytes are no longer those of ``image_id`` gives no row.
    """
    return images.select("image_id", "path", "content").mapInArrow(view_batches(viewer), VIEW_SCHEMA)


def view_batches(viewer: Viewer) -> Callable[[Batches], Batches]:
    """(image_id, path, content) batches → ``VIEW_SCHEMA`` batches, one an image."""

    def look(batches: Batches) -> Batches:
        runtime = worker_runtime(viewer.encoder, viewer.graph, 1)
        limits = replace(viewer.limits, apart=viewer.limits.apart or is_retry())
        for batch in batches:
            for image_id, data in own_contents(batch, limits.memory):
                with suppress(ImageError):  # `embed` said why
                    yield _rows(image_id, data, viewer, runtime, limits)

    return look


def _rows(image_id: str, data: bytes, viewer: Viewer, runtime: Runtime, limits: DecodeLimits) -> pa.RecordBatch:
    how, names = viewer.encoder.preprocessing, view_names(viewer.ways)
    pixels = decode(data, (how.height, how.width), limits, how.resample, how.fit, how.resize_to)
    embedded = viewer.projection.value.apply(embed_views(data, names, runtime, how, limits, pixels))
    rows = [(NETWORK, name, vector) for name, vector in zip(names, embedded, strict=True)]
    rows += [(LAYOUT, name, vector) for name, vector in layouts(pixels, viewer.ways).items()]
    usable = [row for row in rows if row[2].any()]
    packed = [vector.astype("<f4").tobytes() for _, _, vector in usable]
    texts = [[image_id] * len(usable), [space for space, _, _ in usable], [view for _, view, _ in usable]]
    columns = [*(pa.array(values, pa.string()) for values in texts), pa.array(packed, pa.binary())]
    return pa.RecordBatch.from_arrays(columns, names=["image_id", "space", "view", "vector"])
