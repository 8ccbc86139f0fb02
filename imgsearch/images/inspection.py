"""Looking at files: the hash of the bytes and the header, or the reason why an image cannot be used."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits, read_header
from imgsearch.lake.isolation import OUT_OF_MEMORY
from imgsearch.lake.local_files import content_of, refuse_large

INSPECTION = (
    "image_id string, format string, width int, height int, n_pages int, n_bytes bigint, reason string, detail string"
)
TYPES = {"width": "Int32", "height": "Int32", "n_pages": "Int32", "n_bytes": "Int64"}
NAMES = [part.split()[0] for part in INSPECTION.split(", ")]
Inspected = tuple[str | None, str | None, int | None, int | None, int | None, int | None, str | None, str | None]


def inspect(files: DataFrame, max_pixels: int, max_bytes: int) -> DataFrame:
    """Files (``path``, ``content`` or null, ``n_bytes``, ``reason``, ``detail``) → the same with ``INSPECTION``.

    A null ``content`` is read by the worker, unless there is a ``reason``. The bytes are left behind.
    """

    def inspect_batches(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            rows = [inspect_one(*row, max_pixels=max_pixels, max_bytes=max_bytes) for row in zip(*batch, strict=True)]
            yield pd.DataFrame(rows, columns=NAMES).astype(TYPES)

    udf = F.pandas_udf(inspect_batches, returnType=INSPECTION)  # type: ignore[call-overload]
    seen = files.withColumn("_seen", udf("path", "content", "n_bytes", "reason", "detail"))
    return seen.drop("content", *NAMES).select("*", "_seen.*").drop("_seen")


def inspect_one(
    path: str | None,
    content: bytes | None,
    n_bytes: float | None,
    reason: str | None,
    detail: str | None,
    *,
    max_pixels: int,
    max_bytes: int,
) -> Inspected:
    """One file → a row of ``INSPECTION``; the last two null where it is usable. ``reason``: a refusal that stands."""
    size = None if n_bytes is None or math.isnan(n_bytes) else int(n_bytes)
    image_id = None
    try:
        if reason is not None:
            raise ImageError(reason, detail or reason)
        refuse_large(size or 0, max_bytes)
        if size == 0 and content is None:
            content = b""
        data = content_of(str(path), content, max_bytes)
        size = len(data)
        refuse_large(size, max_bytes)
        image_id = hashlib.sha256(data).hexdigest()
        header = read_header(data, DecodeLimits(max_pixels=max_pixels))
        return image_id, header.format, header.width, header.height, header.n_pages, size, None, None
    except ImageError as e:
        return image_id, None, None, None, None, size, e.reason, e.detail
    except MemoryError:
        return image_id, None, None, None, None, size, OUT_OF_MEMORY, "the file does not fit into the worker's memory"
