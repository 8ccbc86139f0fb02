"""Carried columns of a new batch beside those that are in the warehouse already: the same name has to be one type."""

from __future__ import annotations

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake.identifiers import quoted_part
from imgsearch.tables import IMAGES


def as_in_warehouse(rows: DataFrame, present: DataFrame, source: str) -> DataFrame:
    """``rows`` with the carried columns of ``present`` in its types.

    Raises ``UserError`` where a value has no place in them (text in a column of numbers): a table's column cannot
    become wider under its readers. ``source``: what ``--input`` is.
    """
    types = {name.lower(): kind for name, kind in present.dtypes if name not in IMAGES.columns}
    differing = {c: types[c.lower()] for c, kind in rows.dtypes if types.get(c.lower(), kind) != kind}
    if not differing:
        return rows
    kinds = dict(rows.dtypes)
    for column, kind in differing.items():
        value = F.col(quoted_part(column))
        try:
            lost = rows.where(value.isNotNull() & value.try_cast(kind).isNull()).select(value.cast("string")).limit(1)
            example = lost.collect()
        except AnalysisException:  # an array for a number, say
            example = rows.where(value.isNotNull()).select(F.to_json(F.struct(value))).limit(1).collect()
        if example:
            raise UserError(
                f"--input {source}: column '{column}' is {kinds[column]} here and {kind} in the warehouse, where "
                f"{str(example[0][0])[:60]!r} has no place; rename or cast the column in the input"
            )
    return rows.withColumns({c: F.col(quoted_part(c)).try_cast(kind) for c, kind in differing.items()})
