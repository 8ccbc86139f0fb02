"""How much memory one task's Python worker may fill."""

from __future__ import annotations

import re
from pathlib import Path

from pyspark.sql import SparkSession

from imgsearch.lake.session import is_connect, n_slots
from imgsearch.lake.settings import local_slots

UNITS = {"": 1 << 20, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def task_memory(spark: SparkSession) -> int:
    """Bytes for the Python worker of one task.

    What Spark is told, if it is (``spark.executor.pyspark.memory``), by the cores of an executor. Else, where tasks run
    on this machine, half of what it has available now, by the slots; on a cluster half of an executor's heap, by its
    cores, as the best guess of its machine's size.
    """
    conf = spark.conf
    is_local = local_slots(conf.get("spark.master", "") or "") is not None
    cores = n_slots(spark) if is_local else int(conf.get("spark.executor.cores", "1") or 1)
    limit = conf.get("spark.executor.pyspark.memory", None)
    if limit is not None:
        return n_bytes(limit) // cores
    available = _available_here() if is_local and not is_connect(spark) else None
    return (available or n_bytes(conf.get("spark.executor.memory", "1g") or "1g")) // 2 // cores


def n_bytes(text: str) -> int:
    """Spark's notation: ``4g``, ``512m``, or plain MiB.

    >>> n_bytes("2g") == n_bytes("2048m") == n_bytes("2048")
    True
    """
    match = re.fullmatch(r"(\d+)([bkmgt]?)b?", text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no amount of memory such as 4g")
    return int(match[1]) * UNITS[match[2]]


def _available_here() -> int | None:
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(match[1]) << 10 if match else None
