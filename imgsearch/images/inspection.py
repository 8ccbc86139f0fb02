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
from imgsearch.images.exif import NOTHING, Exif, read_exif
from imgsearch.lake.isolation import OUT_OF_MEMORY
from imgsearch.lake.local_files import content_of, refuse_large

INSPECTION = (
    "image_id string, format string, width int, height int, n_pages int, n_bytes bigint, reason string, detail string, "
    "exif_time timestamp, exif_camera string, exif_lens string, exif_latitude double, exif_longitude double, "
    "exif_orientation int"
)
TYPES = {
    "width": "Int32", "height": "Int32", "n_pages": "Int32", "n_bytes": "Int64", "exif_time": "datetime64[us, UTC]",
    "exif_latitude": "float64", "exif_longitude": "float64", "exif_orientation": "Int32",
}  # fmt: skip
NAMES = [part.split()[0] for part in INSPECTION.split(", ")]
EXIF_NAMES = tuple(name for name in NAMES if name.startswith("exif_"))
Inspected = tuple[
    str | None, str | None, int | None, int | None, int | None, int | None, str | None, str | None, Exif
]  # fmt: skip


def inspect(files: DataFrame, max_pixels: int, max_bytes: int, *, exif: bool = True) -> DataFrame:
    """Files (``path``, ``content`` or null, ``n_bytes``, ``reason``, ``detail``) → the same with ``INSPECTION``.

    A null ``content`` is read by the worker, unless there is a ``reason``. The bytes are left behind. ``exif``: whether
    what the camera wrote is read.
    """

    def inspect_batches(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            seen = (
                inspect_one(*row, max_pixels=max_pixels, max_bytes=max_bytes, exif=exif)
                for row in zip(*batch, strict=True)
            )
            yield pd.DataFrame([(*row[:-1], *row[-1]) for row in seen], columns=NAMES).astype(TYPES)

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
    exif: bool = True,
) -> Inspected:
    """One file → a row of ``INSPECTION``, its EXIF in one; ``reason`` and ``detail`` are null where it is usable.

    ``reason``: a refusal that stands.
    """
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
        limits = DecodeLimits(max_pixels=max_pixels)
        header = read_header(data, limits)
        camera = read_exif(data, limits) if exif else NOTHING
        return image_id, header.format, header.width, header.height, header.n_pages, size, None, None, camera
    except ImageError as e:
        return image_id, None, None, None, None, size, e.reason, e.detail, NOTHING
    except MemoryError:
        detail = "the file does not fit into the worker's memory"
        return image_id, None, None, None, None, size, OUT_OF_MEMORY, detail, NOTHING
