"""The calendar of the star: ``dim_date``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part

#: Years that get all their days; a date outside of them (a clock that was never set) gets a row alone.
FIRST_YEAR, LAST_YEAR = 1900, 2199


def calendar(frames: Iterable[DataFrame]) -> DataFrame:
    """``dim_date``: every day of the years of all dates in ``frames``. At least one of them has a column of dates."""
    columns = [frame.select(F.col(quoted_part(c)).alias("date")) for frame in frames for c in date_columns(frame)]
    dates = reduce(DataFrame.unionByName, columns).where("date IS NOT NULL").distinct()
    usual = dates.where(F.year("date").between(FIRST_YEAR, LAST_YEAR)).agg(
        F.year(F.min("date")).alias("first"), F.year(F.max("date")).alias("last")
    )
    one = F.lit(1)
    days = F.sequence(F.make_date("first", one, one), F.make_date("last", F.lit(12), F.lit(31)))
    every = usual.select(F.explode(days).alias("date")).unionByName(dates).distinct()
    return every.select("date", *[column.alias(name) for name, column in _parts().items()])


def date_columns(frame: DataFrame) -> list[str]:
    """The columns of type ``DATE``."""
    return [name for name, kind in frame.dtypes if kind == "date"]


def _parts() -> dict[str, Column]:
    day, iso_weekday = F.col("date"), F.weekday("date") + 1
    return {
        "year": F.year(day),
        "quarter": F.quarter(day),
        "month": F.month(day),
        "month_name": F.date_format(day, "MMMM"),
        "month_start": F.trunc(day, "month"),
        "week": F.weekofyear(day),
        "week_start": F.trunc(day, "week"),
        "day": F.dayofmonth(day),
        "weekday": iso_weekday,
        "weekday_name": F.date_format(day, "EEEE"),
        "is_weekend": iso_weekday >= 6,
    }
