"""Conditions and columns that people name: the images' own metadata, checked before anything is read."""

from __future__ import annotations

import re

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame

from imgsearch.errors import UserError, did_you_mean


def images_where(images: DataFrame, condition: str) -> DataFrame:
    """The rows of ``images`` for which an SQL condition holds. Raises ``UserError`` where it is none."""
    try:
        found = images.where(condition)
        _ = found.schema  # resolved now, so that a mistake shows here
        return found
    except ParseException as e:
        why = re.sub(r"^\[[A-Z_.0-9]+\]\s*", "", str(e).strip().splitlines()[0])
        raise UserError(
            f"--where {condition}: {why.split(' SQLSTATE')[0]} write an SQL condition such as \"site = 'A'\""
        ) from e
    except AnalysisException as e:
        parameters = e.getMessageParameters() or {}
        name = parameters.get("objectName", "").replace("`", "")
        if name and "COLUMN" in (e.getCondition() or ""):
            raise no_column("where", condition, name, images) from e
        why = re.sub(r"^\[[A-Z_.0-9]+\]\s*", "", str(e).strip().splitlines()[0])
        raise UserError(
            f"--where {condition}: {why.split(' SQLSTATE')[0]} the columns are {', '.join(images.columns)}"
        ) from e


def known_column(images: DataFrame, option: str, name: str) -> str:
    """The column of ``images`` that ``name`` means. Raises ``UserError`` where there is none."""
    for column in images.columns:
        if column.lower() == name.lower():
            return str(column)
    raise no_column(option, name, name, images)


def no_column(option: str, value: str, name: str, images: DataFrame) -> UserError:
    """``--where …: the images have no column 'sit'; did you mean 'site'?``"""
    return UserError(
        f"--{option.replace('_', '-')} {value}: the images have no column {name!r}"
        f"{did_you_mean(name, images.columns)}; they have {', '.join(images.columns)}"
    )
