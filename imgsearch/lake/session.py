"""The Spark session. Under ``spark-submit`` it takes what the launcher set; elsewhere it sets the same itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent.parent
CONF = Path(__file__).resolve().parent.parent / "conf"
DEFAULTS = CONF / "spark-defaults.conf"


def build_session(app_name: str = "imgsearch", **conf: str) -> SparkSession:
    """The session of this process, made if there is none.

    ``conf``: Spark settings with ``__`` for ``.`` (``spark__master="local[2]"``); they win over
    ``conf/spark-defaults.conf``.
    """
    given = SparkConf()
    settings: dict[str, str] = {}
    if SparkContext._active_spark_context is None and not given.contains("spark.sql.extensions"):
        settings |= defaults() | {"spark.jars": ",".join(map(str, delta_jars()))}
        settings.setdefault("spark.master", "local[*]")
        settings.setdefault("spark.sql.shuffle.partitions", str(2 * (os.cpu_count() or 1)))
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("SPARK_CONF_DIR", str(CONF))
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    settings |= {key.replace("__", "."): value for key, value in conf.items()}
    builder = SparkSession.builder.appName(app_name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel(os.environ.get("IMGSEARCH_LOG_LEVEL", "ERROR"))
    return spark


def defaults(path: Path = DEFAULTS) -> dict[str, str]:
    """The settings of a Spark properties file."""
    lines = (line.split("#")[0].split(None, 1) for line in path.read_text().splitlines())
    return {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}


def delta_jars() -> list[Path]:
    """Delta's jars as ``setup.sh`` brought them; empty before that."""
    return sorted((ROOT / ".cache" / "jars").glob("*/delta-*.jar"))


def n_slots(spark: SparkSession) -> int:
    """Tasks that can run at once."""
    return max(1, spark.sparkContext.defaultParallelism)
