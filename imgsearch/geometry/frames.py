"""The geometric check over frames: features once an image, then pairs of them.

Features are some 50 kB an image and travel to each pair that the image is in. The driver sees none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import ImageError
from imgsearch.geometry.check import Verdict, check_copy, fitted
from imgsearch.geometry.features import Features, features_of
from imgsearch.geometry.overlay import NOTHING
from imgsearch.images.decode import DecodeLimits
from imgsearch.keys import order_keys
from imgsearch.lake.batches import Batches
from imgsearch.lake.local_files import own_contents
from imgsearch.lake.lost_workers import is_retry

FEATURE_SCHEMA = "image_key bigint, features binary"
VERDICT_COLUMNS = "is_copy boolean, inliers int, agreement float"


class Check(NamedTuple):
    """Which question is put to a pair: ``copy`` (the same pixels), else the same thing (inliers only)."""

    copy: bool

    def __call__(self, one: Features, other: Features) -> Verdict:
        """The verdict on a pair; ``is_copy`` is ``None`` where only inliers were counted."""
        if self.copy:
            return check_copy(one, other)
        return Verdict(None, fitted(one, other).inliers, NOTHING)


def feature_rows(images: DataFrame, limits: DecodeLimits) -> DataFrame:
    """``image_id``, ``path``, ``content`` (or null) → ``FEATURE_SCHEMA``, of each image that can still be decoded.

    A file whose bytes are no longer those of ``image_id`` gives no row.
    """
    return images.select("image_id", "path", "content").mapInArrow(feature_batches(limits), FEATURE_SCHEMA)


def feature_batches(limits: DecodeLimits) -> Callable[[Batches], Batches]:
    """(image_id, path, content) batches → ``FEATURE_SCHEMA`` batches, one a batch."""

    def look(batches: Batches) -> Batches:
        bounds = replace(limits, apart=limits.apart or is_retry())
        for batch in batches:
            ids, packed = [], []
            for image_id, data in own_contents(batch, bounds.memory):
                with suppress(ImageError):  # no features: the check abstains
                    packed.append(features_of(data, bounds).packed())
                    ids.append(image_id)
            if ids:
                keys = pa.array(order_keys(pa.array(ids, pa.string())))
                yield pa.RecordBatch.from_arrays([keys, pa.array(packed, pa.binary())], names=["image_key", "features"])

    return look


def checked(pairs: DataFrame, features: DataFrame, check: Check) -> DataFrame:
    """``pairs`` (``left_key``, ``right_key`` and more) with ``VERDICT_COLUMNS``; null where one has no features."""
    for side in ("left", "right"):
        named = features.select(F.col("image_key").alias(f"{side}_key"), F.col("features").alias(f"_{side}"))
        pairs = pairs.join(named, on=f"{side}_key", how="left")
    columns = [c for c in pairs.columns if c not in ("_left", "_right")]
    schema = ", ".join(f"{f.name} {f.dataType.simpleString()}" for f in pairs.schema if f.name in columns)
    rows = pairs.select(*columns, "_left", "_right")
    return rows.mapInArrow(verdict_batches(check), f"{schema}, {VERDICT_COLUMNS}")


def verdict_batches(check: Check) -> Callable[[Batches], Batches]:
    """(…, features, features) batches → (…, is_copy, inliers, agreement) batches."""

    def judge(batches: Batches) -> Batches:
        for batch in batches:
            verdicts = [_verdict(check, *pair) for pair in zip(batch.column(-2), batch.column(-1), strict=True)]
            *others, _, _ = batch.columns
            columns = [
                pa.array([v and v.is_copy for v in verdicts], pa.bool_()),
                pa.array([v and v.inliers for v in verdicts], pa.int32()),
                pa.array([v.overlay.agreement if v and v.overlay.blocks else None for v in verdicts], pa.float32()),
            ]
            names = [*batch.schema.names[:-2], "is_copy", "inliers", "agreement"]
            yield pa.RecordBatch.from_arrays([*others, *columns], names=names)

    return judge


def _verdict(check: Check, one: pa.BinaryScalar, other: pa.BinaryScalar) -> Verdict | None:
    if not one.is_valid or not other.is_valid:
        return None
    return check(Features.unpacked(one.as_py()), Features.unpacked(other.as_py()))
