"""``[spark-submit options] JOB [job options]`` → one ``spark-submit`` with what the user gave and what is missing.

The command is made by pure functions (``plan``); ``main`` looks at the machine, says what is wrong, and runs it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imgsearch import short_jobs
from imgsearch.errors import LAUNCHER, UserError, did_you_mean
from imgsearch.job import JOBS, MISTAKE, WANTS_PYTHON, WANTS_SPARK, check, run_sparkless, settings_of, usage
from imgsearch.lake.package import write_package
from imgsearch.lake.settings import (
    CHECKOUT,
    DELTA_PACKAGE,
    SPARK_VERSION,
    delta_jars,
    delta_settings,
    local_slots,
    quiet_log,
)
from imgsearch.lake.submit import PROPERTIES, Submission, parse_submission
from imgsearch.lake.submit_checks import check_submission
from imgsearch.machine import cache_folder, drop_greeting, is_checkout, megabytes
from imgsearch.shipping import archive_to_ship, ship_settings


class Plan(NamedTuple):
    """What to run: ``command``, the variables to add to the environment, and what to say first."""

    command: list[str]
    environ: dict[str, str]
    note: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """The console script and ``python -m imgsearch``. Returns an exit code, or becomes ``spark-submit``."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        submission = parse_submission(argv)
        answer = ask(submission)
        if answer == WANTS_PYTHON:
            name, *options = submission.rest
            return run_sparkless(name, options)
        if answer != WANTS_SPARK:
            return answer
        archive = archive_to_ship(submission.properties(os.environ)) if submission.has("--ship") else None
        planned = plan(submission, os.environ, megabytes(), is_terminal(), archive)
    except UserError as e:
        print(f"imgsearch: {e}", file=sys.stderr, flush=True)
        return MISTAKE
    if planned.note:
        print(f"imgsearch: {planned.note}", file=sys.stderr, flush=True)
    drop_greeting()
    return os.execvpe(planned.command[0], planned.command, {**os.environ, **planned.environ})


def ask(submission: Submission) -> int:
    """What can be answered at once: help, a mistake. Else ``WANTS_SPARK`` or ``WANTS_PYTHON``. Raises ``UserError``."""
    name, *options = submission.rest or ("help",)
    if submission.has("--help", "-h"):
        name, options = "help", []
    if submission.has("--version", "--kill", "--status"):
        return WANTS_SPARK
    if name == "help" and options:
        name, options = options[0], ["--help"]
    if name == "help":
        print(usage(), end="")
        return 0
    if name not in JOBS:
        raise UserError(
            f"there is no job '{name}'{did_you_mean(name, JOBS)}; the jobs are: {' '.join(JOBS)} "
            f"(`{LAUNCHER} --help` says what each does)"
        )
    if options[:1] == ["help"]:
        options = ["--help"]
    if submission.has("--remote"):
        raise UserError("--remote: a job needs a Spark of its own (--master); over Spark Connect only `search` works")
    settings = submission.properties(os.environ)
    if submission.has("--ship") and local_slots(settings.get("spark.master", "local[*]")) is not None:
        raise UserError("--ship: this is for executors on other machines; name their --master")
    check_submission(settings, os.environ)
    is_here = settings.get("spark.submit.deployMode", "client") == "client"
    return check(name, options, local_paths=is_here)


def plan(
    submission: Submission, environ: Mapping[str, str], memory: int, terminal: bool, archive: Path | None = None
) -> Plan:
    """The ``spark-submit`` that runs a job: the user's options as they are, and after them what they leave open.

    ``memory``: MiB that this machine has. ``terminal``: whether somebody watches. ``archive``: what executors are sent.
    Raises ``UserError``.
    """
    home = environ.get("SPARK_HOME") or own_spark_home()
    submit = f"{home}/bin/spark-submit"
    if not Path(submit).is_file():
        raise UserError(f"SPARK_HOME={home}: has no bin/spark-submit; name a Spark installation, or unset SPARK_HOME")
    note = f"Spark of SPARK_HOME={home}" if environ.get("SPARK_HOME") else None
    local_ip = environ.get("SPARK_LOCAL_IP", "127.0.0.1")
    variables = {"SPARK_HOME": home} | quiet_log(environ, home)
    if submission.has("--version", "--kill", "--status"):
        return Plan([submit, *submission.words()], variables | {"SPARK_LOCAL_IP": local_ip}, note)
    name, *options = submission.rest
    settings = submission.properties(environ)
    added = launch_settings(name, options, settings, memory, sorted(os.listdir(f"{home}/jars")))
    if local_slots(added.get("spark.master", settings.get("spark.master", ""))) is None:
        added |= ship_settings(archive, settings) if archive else cluster_settings(settings, environ)
    else:
        variables["SPARK_LOCAL_IP"] = local_ip
    variables |= locale_variables(environ)
    variables |= python_variables(environ, is_shipped=archive is not None)
    if terminal:
        variables["IMGSEARCH_PROGRESS"] = "1"
    replaced = ["--ship", *(option for option, key in PROPERTIES.items() if key in added)]
    words = [word for key, value in added.items() for word in ("--conf", f"{key}={value}")]
    command = [submit, *submission.words(without=replaced), *words, str(entry(name)), *options]
    if entry(name).name == "__main__.py":
        command.insert(len(command) - len(options), name)
    return Plan(command, variables, note)


def launch_settings(
    name: str, options: Sequence[str], settings: Mapping[str, str], memory: int, installed: Sequence[str]
) -> dict[str, str]:
    """What has to stand before the JVM of job ``name`` starts and ``settings`` lack.

    ``options``: the job's. ``installed``: the files of Spark's ``jars``.
    """
    added: dict[str, str] = {}

    def default(key: str, value: str) -> None:
        if key not in settings:
            added[key] = value

    default("spark.app.name", f"imgsearch {name}")
    default("spark.master", "local[*]")
    if local_slots(settings.get("spark.master", "local[*]")) is not None:
        # The JVM needs little beside the Python workers: a quarter of the memory, 1 to 8 GB.
        default("spark.driver.memory", f"{min(max(memory // 4, 1024), 8192)}m")
        if name == "demo" or short_jobs.is_short(settings_of(name, options)):
            for key, value in short_jobs.SETTINGS.items():
                default(key, value)
    default("spark.ui.showConsoleProgress", "false")  # there is a line of our own
    delta = delta_settings(settings, delta_jars(), installed)
    _refuse_other_spark(delta, installed)
    return added | delta


def cluster_settings(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """For executors elsewhere: the package as a zip; and a Python of its own for the driver, if theirs is named."""
    package = str(write_package(cache_folder(environ) / "imgsearch.zip"))
    own = settings.get("spark.submit.pyFiles", "")
    added = {"spark.submit.pyFiles": f"{package},{own}" if own else package}
    is_client = settings.get("spark.submit.deployMode", "client") == "client"
    if is_client and "spark.pyspark.python" in settings and "spark.pyspark.driver.python" not in settings:
        added["spark.pyspark.driver.python"] = environ.get("PYSPARK_DRIVER_PYTHON", sys.executable)
    return added


def python_variables(environ: Mapping[str, str], *, is_shipped: bool = False) -> dict[str, str]:
    """The Python of driver and workers, unless the user names another; the package on its path.

    ``is_shipped``: the workers' Python comes in an archive, and a setting names it.
    """
    path = [str(CHECKOUT) if is_checkout() else "", environ.get("PYTHONPATH", "")]
    workers = {} if is_shipped else {"PYSPARK_PYTHON": environ.get("PYSPARK_PYTHON", sys.executable)}
    return workers | {
        "PYSPARK_DRIVER_PYTHON": environ.get("PYSPARK_DRIVER_PYTHON", sys.executable),
        "PYTHONPATH": os.pathsep.join(part for part in path if part),
    }


def locale_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """UTF-8 in place of the locale C: there a JVM, and with it spark-submit, makes ``?`` of every letter beyond ASCII.

    >>> locale_variables({"LANG": "C"}), locale_variables({"LANG": "de_DE.UTF-8"})
    ({'LC_ALL': 'C.UTF-8'}, {})
    """
    named = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    return {"LC_ALL": "C.UTF-8"} if named in ("C", "POSIX") else {}


def entry(name: str) -> Path:
    """The file that spark-submit is given: ``jobs/NAME.py`` in a checkout, else the package's ``__main__.py``."""
    job = CHECKOUT / "jobs" / f"{name}.py"
    return job if job.is_file() else Path(__file__).with_name("__main__.py")


def own_spark_home() -> str:
    """The Spark that came as a Python package. Raises ``UserError`` where there is none."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("there is no Spark: set SPARK_HOME to an installation, or `pip install pyspark==4.2.0`")
    return str(spec.submodule_search_locations[0])


def is_terminal() -> bool:
    """Whether somebody watches this process's stderr."""
    return sys.stderr.isatty()


def _refuse_other_spark(delta: Mapping[str, str], installed: Sequence[str]) -> None:
    """Delta's jars fit one release of Spark. Raises ``UserError`` where ours would be given to another."""
    versions = [m[1] for name in installed if (m := re.fullmatch(r"spark-core_2\.\d+-(.+)\.jar", name))]
    if delta and versions and not versions[0].startswith(f"{SPARK_VERSION}."):
        raise UserError(
            f"this Spark is {versions[0]}, and {DELTA_PACKAGE} is for {SPARK_VERSION}: bring the Delta Lake for it by "
            "`--packages io.delta:delta-spark_2.13:VERSION`, or unset SPARK_HOME to use the Spark that imgsearch brings"
        )


if __name__ == "__main__":  # before the set-up: is there anything to set up for?
    try:
        sys.exit(ask(parse_submission(sys.argv[1:])))
    except UserError as e:
        print(f"imgsearch: {e}", file=sys.stderr)
        sys.exit(MISTAKE)
