"""A value that all tasks read: a broadcast, or over Spark Connect, which has none, a copy inside the function."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from pyspark.sql import SparkSession

from imgsearch.lake.session import is_connect

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)
#: Bytes that may travel inside a plan; a message of Spark Connect holds 128 MB.
INLINE_BYTES = 16 << 20


class Shared(Protocol[Value_co]):
    """What a task is given: ``value``."""

    @property
    def value(self) -> Value_co:
        """The value, in this process."""
        ...


class Inline(NamedTuple, Generic[Value]):
    """A value that is pickled with the function that holds it."""

    value: Value


def share(spark: SparkSession, value: Any) -> Shared[Any]:
    """Make ``value`` readable in tasks."""
    return Inline(value) if is_connect(spark) else spark.sparkContext.broadcast(value)
