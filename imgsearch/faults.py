"""What went wrong, in one line: the root of an error, whether Python, the JVM or a Python worker raised it.

An error from Spark is a chain: Python's exception, the JVM's exceptions below it, and, as text inside them, what an
executor or a Python worker said. ``diagnose`` looks through the whole chain for a cause that a person can mend
(``CAUSES``), and else tells the deepest link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from imgsearch.causes import CAUSES, Cause
from imgsearch.tables import ALL_TABLES

TABLES = {spec.name: spec for spec in ALL_TABLES}
#: Chains are short; a longer one is a circle.
MOST_LINKS = 20
PATH = re.compile(r"(?:\b[a-z][a-z0-9+.-]*:)?/[^\s,;:'\"`()\[\]]+(?<![.])")
#: Paths of programs and of manuals in an error's text.
NO_PLACE = re.compile(r"https?:|/(?:usr|opt|lib)\b|.*\.(?:py|java|scala)$")
WORKER_ERROR = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*")
EXECUTOR_ERROR = re.compile(
    r"(?:Lost task [^\n]*?\): |^\s*Caused by: )([\w.$]+(?:Error|Exception)\b[^\n]*)", re.MULTILINE
)


class Diagnosis(NamedTuple):
    """``line``: what happened and what to do. ``is_mistake``: whether it is the user's to mend (exit code 2)."""

    line: str
    is_mistake: bool


STOPPED = re.compile(
    r"SparkContext (?:was|has been) shut ?down|stopped SparkContext|cancelled because SparkContext"
    r"|SparkContext\.\w+\(\)\" is null"  # a part of it is gone already
)
GONE = re.compile(
    r"Py4JNetworkError|its text cannot be read: Connection|Answer from Java side is empty"
    r"|while obtaining a new communication channel"
)


class Place(NamedTuple):
    """A table and a path that an error names; empty where it names none."""

    table: str
    path: str


def diagnose(error: BaseException) -> Diagnosis:
    r"""The cause of ``error`` in one line.

    >>> diagnose(ValueError("rows lost\nmore"))
    Diagnosis(line='ValueError: rows lost', is_mistake=False)
    >>> diagnose(OSError(28, "No space left on device", "/w/out.csv")).line
    'no space left on device (/w/out.csv); make room, then run the same command again: it goes on from there'
    """
    chain = list(links(error))
    text = "\n".join(chain)
    place = _place(text)
    for cause in CAUSES:
        match = cause.pattern.search(text)
        if match and (place.table or not cause.of_a_table):
            return Diagnosis(" ".join(_sentence(cause, match, place).split())[:600], cause.is_mistake)
    return Diagnosis(_root(chain)[:500], False)


def is_stop(error: BaseException) -> bool:
    """Whether Spark was stopped from outside, or its JVM is gone: not a fault of the job's own."""
    text = "\n".join(links(error))
    return bool(STOPPED.search(text) or GONE.search(text)) or isinstance(error, ConnectionError)


def links(error: BaseException) -> Iterator[str]:
    """The chain as ``Kind: message`` texts, outermost first: Python's causes, then the JVM's below each."""
    link: BaseException | None = error
    for _ in range(MOST_LINKS):
        if link is None:
            return
        text = _text(link)
        yield f"{type(link).__name__}: {text}" if text else type(link).__name__
        yield from (str(note) for note in getattr(link, "__notes__", ()))
        yield from _java_links(getattr(link, "java_exception", None) or getattr(link, "_origin", None))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _text(error: BaseException) -> str:
    """The text of ``error``; where it cannot be had (Py4J asks the JVM for it), why."""
    try:
        return str(error).strip()
    except Exception as e:
        return f"its text cannot be read: {type(e).__name__}"


def _java_links(java: Any) -> Iterator[str]:
    try:
        for _ in range(MOST_LINKS):
            if java is None:
                return
            yield f"{java.getClass().getName().rsplit('.', 1)[-1]}: {java.getMessage()}"
            java = java.getCause()
    except Exception:  # the JVM itself is gone
        return


def _root(chain: list[str]) -> str:
    """The deepest link in one line: a Python worker's own last line before an executor's error before the JVM's."""
    for text in reversed(chain):
        if "Traceback (most recent call last)" in text or "Python worker" in text:
            for line in reversed(text.splitlines()):
                if WORKER_ERROR.match(line):
                    return line
    for text in reversed(chain):
        inner = EXECUTOR_ERROR.findall(text)
        if inner:
            return re.sub(r"^(?:[a-z]\w*\.)+", "", str(inner[-1]))
    return chain[-1].splitlines()[0]


def _sentence(cause: Cause, match: re.Match[str], place: Place) -> str:
    groups = {key: (value or "").strip() for key, value in match.groupdict().items()}
    table, path = place
    spec = TABLES.get(table)
    return cause.sentence.format_map(
        groups
        | {
            "whole": match[0].strip(),
            "table": f"table '{table}'" if table else "a table",
            "file": f": {path}" if path else "",
            "job": spec.job if spec else "JOB",
            "where": _where(table, path),
        }
    )


def _where(table: str, path: str) -> str:
    parts = [f"table '{table}'"] if table else []
    return f" ({', '.join([*parts, path])})" if path else ""


def _place(text: str) -> Place:
    """What an error is about: a path inside a table's folder before others."""
    paths = [re.sub(r"^file:/+", "/", path) for path in PATH.findall(text) if not NO_PLACE.match(path)]
    for path in paths:
        for part in reversed(path.split("/")):
            if part in TABLES:
                return Place(part, path)
    return Place("", next((path for path in paths if path.count("/") > 1), ""))
