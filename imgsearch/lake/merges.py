"""What a merge into a Delta table would change, and the merge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.tables import TableSpec


def new_or_changed(
    table: DataFrame, spec: TableSpec, rows: DataFrame, update: bool, delete: Column | None
) -> DataFrame:
    """The rows that a merge into ``table`` would write or delete by, of ``rows`` (called ``s`` in ``delete``).

    Delta itself rewrites every file that a row given is in, changed or not.
    """
    compared = [c for c in rows.columns if c not in spec.key and c not in _stamps(rows.columns)] if update else []
    target = table.select(*table.columns, F.lit(True).alias("_there")).alias("t")
    types = dict(rows.dtypes)

    def value(side: str, c: str) -> Column:  # maps cannot be compared as they are
        column = F.col(f"{side}.{quoted_part(c)}")
        return F.to_json(F.struct(column.alias("_"))) if "map<" in types[c] else column

    differs = any_of(
        [
            ~value("t", c).eqNullSafe(value("s", c)) if c in table.columns else value("s", c).isNotNull()
            for c in compared
        ]
    )
    absent = F.col("t._there").isNull()
    written = absent | differs if delete is None else F.when(delete, ~absent).otherwise(absent | differs)
    joined = rows.alias("s").join(target, on=same_key(spec, table.columns, rows.columns), how="left")
    return joined.where(written).select("s.*")


def any_of(conditions: Sequence[Column]) -> Column:
    """Whether one of them holds; false for none. As a balanced tree: 500 in a row overflow the JVM's stack."""
    if len(conditions) < 2:
        return conditions[0] if conditions else F.lit(False)
    middle = len(conditions) // 2
    return any_of(conditions[:middle]) | any_of(conditions[middle:])


def merge_into(table: DeltaTable, spec: TableSpec, rows: DataFrame, update: bool, delete: Column | None = None) -> None:
    """Insert rows whose key is new; with ``update`` take over the others, or delete those for which ``delete`` holds.

    Columns that the table lacks are added to it: the user's own, and those of a newer release.
    """
    condition = same_key(spec, table.toDF().columns, rows.columns)
    merge = table.alias("t").merge(rows.alias("s"), condition).withSchemaEvolution()
    if delete is not None:
        merge = merge.whenMatchedDelete(delete)
    if update:
        merge = merge.whenMatchedUpdateAll()
    merge.whenNotMatchedInsertAll(None if delete is None else ~delete).execute()


def same_key(spec: TableSpec, table: list[str], rows: list[str]) -> Column:
    """``t`` and ``s`` have one key. A column of the key that one of them lacks is null there."""

    def value(side: str, c: str) -> Column:
        return F.col(f"{side}.{quoted_part(c)}") if c in (table if side == "t" else rows) else F.lit(None)

    return reduce(and_, [value("t", c).eqNullSafe(value("s", c)) for c in spec.key])


def _stamps(columns: list[str]) -> set[str]:
    """When a row was written, which is no change of it; a file's own time is."""
    return {c for c in columns if c.endswith("_at") and c != "modified_at"}
