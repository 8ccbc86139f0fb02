"""Conditions and columns that people name: the images' own metadata, checked before anything is read or run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import DataFrame

from imgsearch.errors import UserError, did_you_mean
from imgsearch.retrieval.pure_expressions import Node, analysed_offence, parsed_offence, simple_kind

#: Characters; a deeper expression than these can hold would end Spark's parser.
MAX_CONDITION = 4_000
#: pyspark prints an error that it then raises, as JSON, by these.
QUERY_LOGS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")


def images_where(images: DataFrame, condition: str) -> DataFrame:
    """The rows of ``images`` for which an SQL condition holds.

    It may hold columns of ``images``, literals, operators, and functions of their arguments alone (see
    ``pure_expressions``). Raises ``UserError`` for anything else, before Spark has looked up or run any of it.
    """
    if len(condition) > MAX_CONDITION:
        raise _refusal(condition[:60] + "…", f"has {len(condition):,} characters; write at most {MAX_CONDITION:,}")
    with silent():
        _check_parsed(images, condition)
        try:
            narrowed = images.where(condition)
        except PySparkException as e:
            raise _unresolved(images, condition, e) from e
    _check_analysed(images, narrowed, condition)
    return narrowed


def _check_parsed(images: DataFrame, condition: str) -> None:
    parser = images.sparkSession._jsparkSession.sessionState().sqlParser()
    try:
        nodes = list(_nodes(parser.parseExpression(condition), _parsed_name))
    except ParseException as e:
        raise _refusal(condition, f"{_sentence(e)} write an SQL condition such as \"site = 'A'\"") from e
    except Py4JError as e:  # a stack overflow
        raise _refusal(condition, "cannot be read; write a shorter SQL condition such as \"site = 'A'\"") from e
    offence = parsed_offence(nodes)
    if offence is not None:
        raise _forbidden(condition, offence)
    column_names = {column.lower() for column in images.columns}
    for node in nodes:
        if simple_kind(node.kind) == "UnresolvedAttribute" and node.name[0].lower() not in column_names:
            raise no_column("where", condition, ".".join(node.name), images)


def _check_analysed(images: DataFrame, narrowed: DataFrame, condition: str) -> None:
    plan = narrowed._jdf.queryExecution().analyzed()
    if plan.getClass().getSimpleName() != "Filter":
        raise _forbidden(condition, f"'{plan.getClass().getSimpleName()}'")
    columns = {_resolved_name(column)[0] for column in _each(images._jdf.queryExecution().analyzed().output())}
    offence = analysed_offence(_nodes(plan.condition(), _resolved_name), columns)
    if offence is not None:
        raise _forbidden(condition, offence)


def _nodes(expression: Any, name_of: Callable[[Any], tuple[str, ...]]) -> Iterator[Node]:
    """Every node of an expression of Spark's, outermost first."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield Node(str(node.getClass().getName()), name_of(node))
        stack.extend(reversed(list(_each(node.children()))))


def _parsed_name(node: Any) -> tuple[str, ...]:
    kind = simple_kind(str(node.getClass().getName()))
    return tuple(_each(node.nameParts())) if kind in ("UnresolvedFunction", "UnresolvedAttribute") else ()


def _resolved_name(node: Any) -> tuple[str, ...]:
    kind = simple_kind(str(node.getClass().getName()))
    return (str(node.exprId()), str(node.name())) if kind == "AttributeReference" else ()


def _each(sequence: Any) -> Iterator[Any]:
    """The elements of a Scala sequence."""
    iterator = sequence.iterator()
    while iterator.hasNext():
        yield iterator.next()


@contextmanager
def silent() -> Iterator[None]:
    """pyspark prints no error of a query while the block runs: whoever catches it says it in one line."""
    loggers = [PySparkLogger.getLogger(name) for name in QUERY_LOGS]  # a plain logger of that name breaks pyspark
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _forbidden(condition: str, offence: str) -> UserError:
    return _refusal(
        condition, f"{offence} is not allowed; use columns of the images, values, operators and plain functions"
    )


def _unresolved(images: DataFrame, condition: str, error: PySparkException) -> UserError:
    name = (error.getMessageParameters() or {}).get("objectName", "").replace("`", "")
    if isinstance(error, AnalysisException) and name and "COLUMN" in (error.getCondition() or ""):
        return no_column("where", condition, name, images)
    return _refusal(condition, f"{_sentence(error)} the columns are {', '.join(images.columns)}")


def _refusal(condition: str, problem: str) -> UserError:
    return UserError(f"--where {condition}: {problem}")


def _sentence(error: PySparkException) -> str:
    """The first line of what Spark says, without its codes."""
    return re.sub(r"^\[[A-Z_.0-9]+\]\s*", "", str(error).strip().splitlines()[0]).split(" SQLSTATE")[0]


def known_column(images: DataFrame, option: str, name: str) -> str:
    """The column of ``images`` that ``name`` means. Raises ``UserError`` where there is none."""
    for column in images.columns:
        if column.lower() == name.lower():
            return str(column)
    raise no_column(option, name, name, images)


def no_column(option: str, value: str, name: str, images: DataFrame) -> UserError:
    """``--where …: the images have no column 'sit' (did you mean 'site'?)``"""
    return UserError(
        f"--{option.replace('_', '-')} {value}: the images have no column {name!r}"
        f"{did_you_mean(name, images.columns)}; they have {', '.join(images.columns)}"
    )
