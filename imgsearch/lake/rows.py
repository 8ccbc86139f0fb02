"""Rows as a table's text says them: types, order, comments."""

from __future__ import annotations

from typing import cast

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


def typed(spec: TableSpec, frame: DataFrame) -> DataFrame:
    """Rows as the spec says them: its types (Arrow and SQL both widen them), its order, its comments.

    A column that may be null and that the frame lacks is null; one that the table lacks (an older one) is added.
    """
    given = set(frame.columns)
    ours = [
        (F.col(f.name) if f.name in given or not f.nullable else F.lit(None))
        .cast(f.dataType)
        .alias(f.name, metadata=f.metadata)
        for f in struct(spec.ddl)
    ]
    extra = [F.col(quoted_part(c)) for c in frame.columns if spec.open and c not in spec.columns]
    return frame.select(*ours, *extra)
