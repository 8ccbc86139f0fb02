"""Columns that came with the input, as a star can hold them: flat, under free names, dates in text as dates."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from imgsearch.images.sources import hive_value
from imgsearch.lake.identifiers import quoted_part
from imgsearch.report.star_tables import STAR
from imgsearch.tables import IMAGES

#: A month or a day of the years 1800 to 2199: 2024-10, 2024-10-31, 2024/10/31.
DATE_TEXT = r"^(1[89]|2[01])\d\d[-/](0[1-9]|1[0-2])([-/](0[1-9]|[12]\d|3[01]))?$"
#: Columns of ours that a page shows as text, whatever stands in them.
TEXTS = ("folder",)
NESTED, LEFT_OUT = ("array", "map", "struct"), ("binary", "variant", "void")


class Carried(NamedTuple):
    """Images with flat carried columns; ``columns``: their names, in order, of ``dates`` those that are a date."""

    images: DataFrame
    columns: tuple[str, ...]
    dates: tuple[str, ...]


def star_names(names: list[str]) -> dict[str, str]:
    """The name of each carried column in the star: its own, or with ``meta_`` before one of the star's.

    >>> star_names(["site", "Image_Date", "meta_image_date"])
    {'site': 'site', 'Image_Date': 'meta_Image_Date', 'meta_image_date': 'meta_meta_image_date'}
    """
    taken = {column.casefold() for spec in STAR if spec.open for column in spec.columns}
    result: dict[str, str] = {}
    for name in names:
        free = name
        while free.casefold() in taken:
            free = f"meta_{free}"
        taken.add(free.casefold())
        result[name] = free
    return result


def flat_carried(images: DataFrame) -> Carried:
    """``images`` with its carried columns flat: nested values as JSON, bytes left out, dates in text as dates."""
    ours = {name.casefold() for name in IMAGES.columns}
    kinds = {c: kind for c, kind in images.dtypes if c.casefold() not in ours and not kind.startswith(LEFT_OUT)}
    names = star_names(list(kinds))
    dated = _dates_in_text(images, [c for c, kind in kinds.items() if kind == "string" and c not in TEXTS])
    columns = [_flat(c, kind, c in dated).alias(names[c]) for c, kind in kinds.items()]
    own = [F.col(c) for c in IMAGES.columns if c in images.columns]
    dates = tuple(names[c] for c, kind in kinds.items() if c in dated or kind in ("date", "timestamp"))
    return Carried(images.select(*own, *columns), tuple(names.values()), dates)


def image_date(carried: Carried) -> Column:
    """The first carried date that is there, else when it was taken, else that of the file, else that of the ingest."""
    dates = [F.col(quoted_part(c)).cast("date") for c in carried.dates]
    return F.coalesce(*dates, *(F.col(c).cast("date") for c in ("exif_time", "modified_at", "ingested_at")))


def date_of(text: Column) -> Column:
    """Text → the day, or the first day of the month, that it is; null for any other text."""
    return F.when(text.rlike(DATE_TEXT), F.replace(text, F.lit("/"), F.lit("-")).try_cast("date"))


def value_in_path(path: Column, name: str, kind: str) -> Column:
    """What a folder called ``name=value`` says, in the type of that column; null where there is none."""
    text = F.regexp_extract(path, rf"(?:^|/)\Q{name}\E=([^/]*)/", 1)
    value = hive_value(F.when(text != "", text))
    return date_of(value) if kind == "date" else value.try_cast(kind)


def _flat(name: str, kind: str, is_date: bool) -> Column:
    column = F.col(quoted_part(name))
    if is_date:
        return date_of(column)
    return F.to_json(column) if kind.startswith(NESTED) else column


def _dates_in_text(images: DataFrame, names: list[str]) -> set[str]:
    """Those of ``names`` (columns of text) in which every value is a date, and there is one."""
    if not names:
        return set()
    is_date = {c: date_of(F.col(quoted_part(c))).isNotNull() for c in names}
    all_dates = [
        F.min(F.when(F.col(quoted_part(c)).isNotNull(), test.cast("int"))).alias(str(i))
        for i, (c, test) in enumerate(is_date.items())
    ]
    row = images.agg(*all_dates).collect()[0]  # one row
    return {c for i, c in enumerate(names) if row[str(i)] == 1}
