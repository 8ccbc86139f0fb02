"""A job: arguments → config → one call → exit code (0 done, 2 the user's mistake in one line, 1 a fault)."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imgsearch.errors import UserError
from imgsearch.options import DEFAULT_FILE, parse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from imgsearch.lake.runs import RunSummary

DONE, FAULT, MISTAKE, INTERRUPTED = 0, 1, 2, 130
WANTS_SPARK = 100


class Job(NamedTuple):
    """Where a job's settings and its work are, as ``module:name``; imported when the job is asked for."""

    config: str | None
    run: str

    def settings(self) -> type[Any]:
        """The settings object of the job. Raises ``UserError`` where the job is not installed."""
        return _named(str(self.config))


#: Every job. ``jobs/NAME.py`` is what spark-submit is given. A job without settings needs no Spark.
JOBS: dict[str, Job] = {
    "ingest": Job("imgsearch.config:IngestConfig", "imgsearch.images.ingest:run"),
    "embed": Job("imgsearch.config:EmbedConfig", "imgsearch.encoders.embed:run"),
    "compress": Job("imgsearch.config:CompressConfig", "imgsearch.projections.compress:run"),
    "cluster": Job("imgsearch.config:ClusterConfig", "imgsearch.clusters.cluster:run"),
    "label": Job("imgsearch.config:LabelConfig", "imgsearch.labels.label:run"),
    "search": Job("imgsearch.config:SearchConfig", "imgsearch.retrieval.search:run"),
    "calibrate": Job("imgsearch.config:CalibrateConfig", "imgsearch.labels.calibrate:run"),
    "dedup": Job("imgsearch.config:DedupConfig", "imgsearch.duplicates.dedup:run"),
    "evaluate": Job("imgsearch.config:EvaluateConfig", "imgsearch.labels.evaluate:run"),
    "export": Job("imgsearch.config:ExportConfig", "imgsearch.report.export:run"),
    "pipeline": Job("imgsearch.config:PipelineConfig", "imgsearch.pipeline:run"),
    "demo": Job("plantdemo.config:DemoConfig", "plantdemo.demo:run"),
    "drop": Job("imgsearch.config:DropConfig", "imgsearch.upkeep.drop:run"),
    "status": Job("imgsearch.config:StatusConfig", "imgsearch.upkeep.status:run"),
    "encoders": Job(None, "imgsearch.encoders.list_encoders:run"),
}
LIST_ENCODERS = "list the networks that --encoder takes, and which of them need a download"

USAGE = """usage: ./spark-submit.sh [spark-submit options] JOB [job options]

jobs:
{jobs}

`./spark-submit.sh JOB --help` lists a job's options with their defaults. What stands before the job's name goes to
spark-submit untouched (--master spark://..., --num-executors 8, --conf key=value); without --master the job runs here,
on all cores. Exit codes: 0 done, 2 a mistake in what was given (one line says which), 1 a fault.
"""


def main(name: str) -> int:
    """The whole of ``jobs/NAME.py``: options from ``sys.argv``, one call, the exit code."""
    job = JOBS[name]
    if job.config is None:
        return check(name, sys.argv[1:])
    return run_job(name, sys.argv[1:], lambda spark, config: _named(job.run)(spark, config))


def run_job(name: str, argv: Sequence[str], run: Callable[[SparkSession, Any], RunSummary | None]) -> int:
    """Parse, call, print the summary, return the exit code."""
    _take_stderr_back()
    try:
        config = settings_of(name, argv)
        for chatty in ("py4j", "DataFrameQueryContextLogger"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
        from imgsearch.lake.runs import print_summary
        from imgsearch.lake.session import build_session

        spark = build_session(f"imgsearch {name}")
        try:
            summary = run(spark, config)
        finally:
            sys.stderr.flush()
        if summary is not None:
            print_summary(summary)
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
        if JOBS[name].config is None:
            return int(_named(JOBS[name].run)(argv))
        settings_of(name, argv)
    except UserError as e:
        return _told(e)
    return WANTS_SPARK


def settings_of(name: str, argv: Sequence[str], default_file: Path = DEFAULT_FILE) -> Any:
    """The settings object of job ``name``. Raises ``UserError``."""
    return parse(name, JOBS[name].settings(), argv, default_file, sections=JOBS)


def usage() -> str:
    """The launcher's help: one line a job."""
    return USAGE.format(jobs="\n".join(f"  {name:<10} {about}" for name, about in _abouts()))


def _abouts() -> Iterator[tuple[str, str]]:
    for name, job in JOBS.items():
        if job.config is None:
            yield name, LIST_ENCODERS
            continue
        try:
            yield name, job.settings().about
        except UserError:  # the demo, where only the package is installed
            continue


def _named(place: str) -> Any:
    """What ``module:name`` names. Raises ``UserError`` where the module's package is not installed."""
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as e:
        if e.name != module.split(".")[0]:
            raise
        raise UserError(f"this job is part of the checkout, not of the installed package ({place})") from e


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


def answer(argv: Sequence[str]) -> int:
    """``python -m imgsearch.job help`` or ``… check JOB [options]``: the launcher's two questions."""
    if argv[:1] == ["check"] and len(argv) > 1 and argv[1] in JOBS:
        return check(argv[1], argv[2:])
    print(usage(), end="")
    return DONE


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1:]))
