"""A job: arguments → config → one call → exit code (0 done, 2 the user's mistake in one line, 1 a fault)."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from imgsearch.config import JOBS, parse
from imgsearch.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from imgsearch.stages.summary import RunSummary

DONE, FAULT, MISTAKE, INTERRUPTED = 0, 1, 2, 130
WANTS_SPARK = 100
Config = TypeVar("Config")

USAGE = """usage: ./spark-submit.sh [spark-submit options] JOB [job options]

jobs:
{jobs}

`./spark-submit.sh JOB --help` lists a job's options with their defaults. What stands before the job's name goes to
spark-submit untouched (--master spark://..., --num-executors 8, --conf key=value); without --master the job runs here,
on all cores. Exit codes: 0 done, 2 a mistake in what was given (one line says which), 1 a fault.
"""


def run_job(name: str, config_class: type[Config], run: Callable[[SparkSession, Config], RunSummary]) -> int:
    """The whole of ``jobs/NAME.py``: parse, call, print the summary, return the exit code."""
    _take_stderr_back()
    try:
        config = parse(name, config_class, sys.argv[1:])
        for chatty in ("py4j", "DataFrameQueryContextLogger"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
        from imgsearch.lake.session import build_session

        spark = build_session(f"imgsearch {name}")
        try:
            summary = run(spark, config)
        finally:
            sys.stderr.flush()
        print(summary, flush=True)
        for note in summary.notes:
            print(f"  {note}", flush=True)
        spark.stop()
        return DONE
    except UserError as e:
        return _told(e)
    except KeyboardInterrupt:
        print(f"{name}: stopped; what was committed stays, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except Exception as e:
        with tempfile.NamedTemporaryFile("w", prefix=f"imgsearch-{name}-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        print(f"{name}: fault: {cause(e)} (the whole trace: {log.name})", file=sys.stderr)
        return FAULT


def cause(error: Exception) -> str:
    """One line that says what went wrong: of an error in a Python worker the worker's own last line.

    >>> cause(ValueError("rows lost\\nmore"))
    'ValueError: rows lost'
    >>> cause(RuntimeError("thrown from the Python worker:\\nTraceback:\\n  File x\\nKeyError: 'a'\\n\\tat org.x.Y"))
    "KeyError: 'a'"
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    if "Python worker" in str(error):
        for line in reversed(lines):
            if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b", line):
                return line[:500]
    return f"{type(error).__name__}: {lines[0][:500] if lines else type(error).__name__}"


def check(name: str, argv: Sequence[str]) -> int:
    """What can be answered without Spark: ``--help`` and mistakes in the options. Else ``WANTS_SPARK``."""
    try:
        if name == "encoders":
            from imgsearch.stages.encoders import run as list_encoders

            return list_encoders(argv)
        parse(name, JOBS[name], argv)
    except UserError as e:
        return _told(e)
    return WANTS_SPARK


def usage() -> str:
    """The launcher's help: one line a job."""
    known: dict[str, Any] = dict(JOBS)
    lines = [f"  {name:<10} {cls.about}" for name, cls in known.items()]
    lines.append("  encoders   list the networks that --encoder takes, and which of them need a download")
    return USAGE.format(jobs="\n".join(lines))


def _take_stderr_back() -> None:
    """spark-submit runs Python with its stderr merged into stdout; write to the stderr that spark-submit itself has."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # not started by spark-submit
        return
    try:
        handle = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
    except OSError:  # no /proc, or a driver that runs for somebody else
        return
    sys.stderr.flush()
    os.dup2(handle, 2)
    os.close(handle)


def _told(e: UserError) -> int:
    print(f"imgsearch: {e}", file=sys.stderr, flush=True)
    return MISTAKE


def main(argv: Sequence[str]) -> int:
    """``python -m imgsearch.job help`` or ``… check JOB [options]``: the launcher's two questions."""
    if argv[:1] == ["check"] and len(argv) > 1 and (argv[1] in JOBS or argv[1] == "encoders"):
        return check(argv[1], argv[2:])
    print(usage(), end="")
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
