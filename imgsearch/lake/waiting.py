"""A cluster without a free core: said after a while, instead of waited for without end."""

from __future__ import annotations

import threading
from typing import Any

from pyspark.sql import SparkSession

from imgsearch.lake.settings import local_slots

#: Seconds that tasks may wait for a first executor.
SETTING = "spark.imgsearch.executorWait"
DEFAULT_WAIT = "60"


class ExecutorWatch:
    """Cancels the jobs of an application that waits too long for an executor; ``verdict`` then says so.

    ``with ExecutorWatch(spark) as watch:``. It looks once a second whether there is a stage to run and nothing to run
    it on. Nothing is watched on a local master.
    """

    def __init__(self, spark: SparkSession, period: float = 1.0) -> None:
        context = spark.sparkContext
        self.verdict: str | None = None
        self._master = context.master or ""
        self._wait = float((context.getConf().get(SETTING, None) or DEFAULT_WAIT).removesuffix("s"))
        self._jvm_context: Any = context._jsc.sc()
        self._period = period
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="imgsearch-executor-watch", daemon=True)

    def __enter__(self) -> ExecutorWatch:
        if local_slots(self._master) is None:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()

    def _watch(self) -> None:
        waited = 0.0
        while not self._end.wait(self._period):
            try:
                waited = waited + self._period if self._is_stuck() else 0.0
                if waited >= self._wait:
                    self.verdict = (
                        f"--master {self._master}: no executor came in {self._wait:.0f} s; its cores or memory are "
                        f"taken, or its workers cannot start; free some, ask for less (--executor-memory, "
                        f"--executor-cores), or wait longer (--conf {SETTING}=SECONDS)"
                    )
                    self._jvm_context.cancelAllJobs()
                    return
            except Exception:  # the session is at its end
                return

    def _is_stuck(self) -> bool:
        n_executors = int(self._jvm_context.getExecutorMemoryStatus().size()) - 1  # the driver is one of them
        return n_executors == 0 and len(self._jvm_context.statusTracker().getActiveStageIds()) > 0
