"""Rows as a table's text says them: types, order, comments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from imgsearch.lake.identifiers import quoted_part
from imgsearch.tables import TableSpec


def struct(ddl: str) -> T.StructType:
    """A table's DDL as Spark's type."""
    return cast(T.StructType, T.StructType.fromDDL(ddl))


def empty(spark: SparkSession, spec: TableSpec) -> DataFrame:
    """No rows, with the spec's columns."""
    return spark.createDataFrame([], struct(spec.schema))


def frame_of(
    spark: SparkSession, spec: TableSpec, values: Sequence[tuple[Any, ...]], columns: Sequence[str] | None = None
) -> DataFrame:
    """Values as rows of a table, with its types, in one file: of ``columns``, else of its first ones in their order."""
    names = columns or spec.columns[: len(values[0]) if values else None]
    fields = struct(spec.schema)
    schema = T.StructType([T.StructField(name, fields[name].dataType) for name in names])
    return spark.createDataFrame(values, schema).coalesce(1)


def typed(spec: TableSpec, frame: DataFrame) -> DataFrame:
    """Rows as the spec says them: its types (Arrow and SQL both widen them), its order, its comments.

    A column that may be null and that the frame lacks is null; one that the table lacks (an older one) is added.
    """
    names = set(frame.columns)
    columns = [
        (F.col(f.name) if f.name in names or not f.nullable else F.lit(None))
        .cast(f.dataType)
        .alias(f.name, metadata=f.metadata)
        for f in struct(spec.ddl)
    ]
    extra = [F.col(quoted_part(c)) for c in frame.columns if spec.open and c not in spec.columns]
    return frame.select(*columns, *extra)
