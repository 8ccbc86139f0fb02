"""Images by ranges of their ids, which are hashes: parts of equal size that no partitioning can change."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import Column
from pyspark.sql import functions as F

from imgsearch.keys import KEY_DIGITS


def hash_between(low: float, high: float) -> Column:
    """Ids from the share ``low`` of all hashes to the share ``high``: a sample that no partitioning can change."""
    digits, most = KEY_DIGITS, 16**KEY_DIGITS
    above = F.col("image_id") >= f"{int(low * most):0{digits}x}"
    return above if high >= 1 else above & (F.col("image_id") < f"{int(high * most):0{digits}x}")


def hash_parts(n: int) -> Iterator[Column]:
    """``n`` parts of all ids, of equal size; together they are all."""
    return (hash_between(i / n, (i + 1) / n) for i in range(n))
