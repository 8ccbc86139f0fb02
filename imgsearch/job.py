"""A job: arguments → config → one call → exit code (0 done, 2 the user's mistake in one line, 1 a fault)."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, NamedTuple

from imgsearch.errors import UserError
from imgsearch.faults import diagnose, is_stop
from imgsearch.options import DEFAULT_FILE, parse
from imgsearch.preflight import check_paths

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from imgsearch.lake.runs import RunSummary

DONE, FAULT, MISTAKE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
#: What ``check`` answers for a job that is well-formed: it wants Spark, or only the Python environment.
WANTS_SPARK, WANTS_PYTHON = 100, 101


class Stopped(BaseException):
    """A signal that ends the job. ``code``: the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Job(NamedTuple):
    """Where a job's settings and its work are, as ``module:name``; imported when the job is asked for.

    With Spark the work is ``run(spark, config)``; without it ``run(config)``, and no JVM is started.
    """

    config: str
    run: str
    needs_spark: bool = True

    def settings(self) -> type[Any]:
        """The settings object of the job. Raises ``UserError`` where the job is not installed."""
        return _named(self.config)


#: Every job. ``jobs/NAME.py`` is what spark-submit is given.
JOBS: dict[str, Job] = {
    "ingest": Job("imgsearch.config:IngestConfig", "imgsearch.images.ingest:run"),
    "embed": Job("imgsearch.config:EmbedConfig", "imgsearch.encoders.embed:run"),
    "compress": Job("imgsearch.config:CompressConfig", "imgsearch.projections.compress:run"),
    "neighbours": Job("imgsearch.config:NeighboursConfig", "imgsearch.retrieval.neighbours:run"),
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
    "encoders": Job("imgsearch.config:EncodersConfig", "imgsearch.encoders.list_encoders:run", needs_spark=False),
    "review": Job("imgsearch.config:ReviewConfig", "imgsearch.review.review:run", needs_spark=False),
}

USAGE = """usage: ./spark-submit.sh [spark-submit options] JOB [job options]

jobs:
{jobs}

`./spark-submit.sh JOB --help` lists a job's options with their defaults. What stands before the job's name goes to
spark-submit and wins over what is set here (--master spark://..., --num-executors 8, --conf key=value); --ship sends
executors elsewhere their Python with all packages. Without --master the job runs on this machine, on all cores.
Exit codes: 0 done, 2 a mistake in what was given (one line says which), 1 a fault, 130 or 143 stopped by a signal.
"""


def main(name: str) -> int:
    """The whole of ``jobs/NAME.py``: options from ``sys.argv``, one call, the exit code."""
    job = JOBS[name]
    if not job.needs_spark:
        return run_sparkless(name, sys.argv[1:])
    return run_job(name, sys.argv[1:], lambda spark, config: _named(job.run)(spark, config))


def run_job(name: str, argv: Sequence[str], run: Callable[[SparkSession, Any], RunSummary | None]) -> int:
    """Parse, call with a session, print the summary, return the exit code."""
    _take_stderr_back()
    return _ended(name, argv, lambda config: _run(name, config, run))


def run_sparkless(name: str, argv: Sequence[str]) -> int:
    """Parse, call, return the exit code: for a job that needs no Spark."""
    return _ended(name, argv, _named(JOBS[name].run))


def _ended(name: str, argv: Sequence[str], run: Callable[[Any], object]) -> int:
    """Call ``run`` with the job's settings; whatever ends it becomes an exit code and at most one line."""
    try:
        try:
            run(settings_of(name, argv))
            return DONE
        except Exception as e:  # a signal may still come while the error is looked at
            return _failed(name, e)
    except Stopped as e:
        return _stopped(name, e.code)
    except KeyboardInterrupt:
        return _stopped(name, INTERRUPTED)


def _failed(name: str, error: Exception) -> int:
    if isinstance(error, UserError):
        return _mistake(error)
    if (signalled := _stopped_before(error)) is not None:
        return _stopped(name, signalled.code)
    if is_stop(error):
        return _stopped(name, TERMINATED, " from outside")
    return _fault(name, error)


def _stopped_before(error: BaseException) -> Stopped | None:
    """The signal on whose way out ``error`` was raised: what cleans up may ask a JVM that the signal ended too."""
    context = error.__context__
    while context is not None and not isinstance(context, Stopped):
        context = context.__context__
    return context


def _run(name: str, config: Any, run: Callable[[SparkSession, Any], RunSummary | None]) -> None:
    from imgsearch.lake import session
    from imgsearch.lake.progress import TaskProgress
    from imgsearch.lake.runs import print_summary
    from imgsearch.lake.waiting import ExecutorWatch

    is_guest = session.is_running()
    for chatty in ("py4j", "DataFrameQueryContextLogger", "SQLQueryContextLogger"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
    logging.getLogger().addFilter(_is_not_of_py4j)
    spark = session.build_session(f"imgsearch {name}")
    _stop_by_signals()
    print(f"{name}: {session.describe(spark)}\n", end="", flush=True)  # one write: spark-submit has Python unbuffered
    with ExecutorWatch(spark) as watch, TaskProgress(spark, name):
        try:
            summary = run(spark, config)
        except Exception as e:
            if watch.verdict is not None:
                raise UserError(watch.verdict) from e
            raise
    if summary is not None:
        print_summary(summary)
    if not is_guest:
        spark.stop()


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    """Py4J logs a lost JVM on the root logger, with its traces; the error itself is raised as well."""
    return record.module not in ("java_gateway", "clientserver")


def _stop_by_signals() -> None:
    """Ctrl-C and SIGTERM end the job where it stands. Spark's own handler asks a JVM that may be gone already."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Stopped(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)


def _stopped(name: str, code: int, how: str = "") -> int:
    print(f"{name}: stopped{how}; what was committed stays, the same command goes on from there", file=sys.stderr)
    return code


def _fault(name: str, error: Exception) -> int:
    """One line and the whole trace in a file; a cause that is the user's to mend is a mistake."""
    diagnosis = diagnose(error)
    if diagnosis.is_mistake:
        return _mistake(UserError(f"{name}: {diagnosis.line}"))
    with tempfile.NamedTemporaryFile("w", prefix=f"imgsearch-{name}-", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    print(f"{name}: fault: {diagnosis.line} (the whole trace: {log.name})", file=sys.stderr)
    return FAULT


def check(name: str, argv: Sequence[str], *, local_paths: bool = True) -> int:
    """``WANTS_SPARK`` or ``WANTS_PYTHON`` for a job that is well-formed; ``--help`` is answered (``SystemExit``).

    Raises ``UserError`` for mistakes in the options, and with ``local_paths`` for those that a local path shows.
    """
    config = settings_of(name, argv)
    if local_paths:
        check_paths(name, config)
    return WANTS_SPARK if JOBS[name].needs_spark else WANTS_PYTHON


def settings_of(name: str, argv: Sequence[str], default_file: Traversable = DEFAULT_FILE) -> Any:
    """The settings object of job ``name``. Raises ``UserError``."""
    return parse(name, JOBS[name].settings(), argv, default_file, sections=JOBS)


def usage() -> str:
    """The launcher's help: one line a job."""
    return USAGE.format(jobs="\n".join(f"  {name:<10} {about}" for name, about in _abouts()))


def _abouts() -> Iterator[tuple[str, str]]:
    for name, job in JOBS.items():
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
    if "CONTAINER_ID" in os.environ:  # YARN's: stderr is a file that the JVM writes on in, over what is appended
        return
    try:
        handle = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
    except OSError:  # no /proc, or a driver that runs for somebody else
        return
    sys.stderr.flush()
    os.dup2(handle, 2)
    os.close(handle)


def _mistake(e: UserError) -> int:
    print(f"imgsearch: {e}", file=sys.stderr, flush=True)
    return MISTAKE
