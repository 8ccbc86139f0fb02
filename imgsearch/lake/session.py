"""The Spark session: what the user gave, and what is missing. Another's session is used as it is."""

from __future__ import annotations

import os
import shlex
import sys

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from imgsearch.errors import UserError
from imgsearch.lake.settings import (
    DELTA_EXTENSION,
    DELTA_PACKAGE,
    delta_jars,
    delta_settings,
    local_slots,
    quiet_log,
    session_settings,
)
from imgsearch.lake.submit import parse_submission


def build_session(app_name: str = "imgsearch", **conf: str) -> SparkSession:
    """The session of this process: the one there is, else a new one with what the user gave and what is missing.

    The user's settings are those of ``spark-submit`` where it started this process; else those of ``SPARK_CONF_DIR``,
    ``SPARK_HOME`` and ``PYSPARK_SUBMIT_ARGS``. ``conf``: settings of the caller with ``__`` for ``.``
    (``spark__master="local[2]"``); they win over both. Raises ``UserError`` where Delta Lake is missing.
    """
    settings = {key.replace("__", "."): value for key, value in conf.items()}
    if not is_running():
        settings = _missing(app_name, settings) | settings
    builder = SparkSession.builder
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    if "IMGSEARCH_LOG_LEVEL" in os.environ:
        spark.sparkContext.setLogLevel(os.environ["IMGSEARCH_LOG_LEVEL"])
    _require_delta(spark)
    return spark


def is_running() -> bool:
    """Whether this process has a Spark application already: a notebook's, or a platform's."""
    return SparkContext._active_spark_context is not None


def describe(spark: SparkSession) -> str:
    """The application in one line: Spark's version, the master, what can run at once, the application's id."""
    context = spark.sparkContext
    return f"Spark {spark.version}, master {context.master}, {n_slots(spark)} slots, {context.applicationId}"


def is_connect(spark: SparkSession) -> bool:
    """Whether this is a session of Spark Connect: it has neither ``sparkContext`` nor a JVM of its own."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def n_slots(spark: SparkSession) -> int:
    """Tasks that can run at once; over Spark Connect what the settings say."""
    if is_connect(spark):
        return max(1, _slots_of_settings(spark))
    return max(1, spark.sparkContext.defaultParallelism)


def n_tasks(spark: SparkSession, n_items: int, items_per_task: int) -> int:
    """Tasks for ``n_items``: whole rounds of the slots there are, two at least, of about ``items_per_task`` each."""
    slots = n_slots(spark)
    rounds = max(2, round(n_items / (items_per_task * slots)))
    return max(1, min(n_items, rounds * slots))


def _slots_of_settings(spark: SparkSession) -> int:
    slots = local_slots(spark.conf.get("spark.master", "") or "")
    if slots is not None:
        return slots
    cores = int(spark.conf.get("spark.executor.cores", "1") or 1)
    executors = spark.conf.get("spark.executor.instances", None)
    return int(executors) * cores if executors else int(spark.conf.get("spark.sql.shuffle.partitions", "200") or 200)


def _missing(app_name: str, settings: dict[str, str]) -> dict[str, str]:
    """What neither the user nor the caller (``settings``) gave to a context that is yet to be made."""
    if "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._jvm is not None:  # the JVM knows what the user gave
        SparkContext._ensure_initialized()
        submitted = dict(SparkConf().getAll())
        name = submitted.get("spark.app.name")
        named = {} if name and name != os.path.basename(sys.argv[0]) else {"spark.app.name": app_name}
        return named | session_settings(submitted | settings)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    submitted = parse_submission(shlex.split(os.environ.get("PYSPARK_SUBMIT_ARGS", "")), known_only=False).properties(
        os.environ
    )
    launch = {"spark.app.name": app_name, "spark.master": "local[*]"} | delta_settings(
        submitted | settings, delta_jars()
    )
    if local_slots((launch | submitted | settings)["spark.master"]) is not None:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.update(quiet_log(os.environ, os.environ.get("SPARK_HOME", os.path.dirname(pyspark.__file__))))
    merged = {"spark.jars", "spark.jars.packages"}
    missing = {key: value for key, value in launch.items() if key in merged or key not in submitted}
    return missing | session_settings(launch | submitted | settings)


def _require_delta(spark: SparkSession) -> None:
    """Raises ``UserError`` where the session cannot read Delta tables: its classes or its extension are missing."""
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:  # has Delta under other names
        return
    loader = spark._jvm.java.lang.Thread.currentThread().getContextClassLoader()  # type: ignore[union-attr]
    if loader.getResource(DELTA_EXTENSION.replace(".", "/") + ".class") is None:
        raise UserError(
            f"Delta Lake is missing from this Spark: add `--packages {DELTA_PACKAGE}`, or its jars by --jars"
        )
    if DELTA_EXTENSION not in (spark.conf.get("spark.sql.extensions", None) or ""):
        raise UserError(
            f"this Spark session was started without spark.sql.extensions={DELTA_EXTENSION}; start it with it"
        )
