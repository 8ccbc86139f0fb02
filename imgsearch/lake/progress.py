"""Progress on a terminal: one line that rewrites itself. A job's own counts where it has some, else Spark's tasks.

Shown only where the launcher saw a terminal (``IMGSEARCH_PROGRESS``).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from pyspark import Accumulator, SparkContext
from pyspark.sql import SparkSession

from imgsearch.terminal import duration


def is_visible() -> bool:
    """Whether somebody watches."""
    return bool(os.environ.get("IMGSEARCH_PROGRESS"))


def clear_line() -> None:
    """Remove the progress line, before something is printed that stays."""
    if is_visible():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Line:
    """A line that is drawn twice a second while the block runs; the innermost such line is the one that shows."""

    _shown: list[_Line] = []  # noqa: RUF012 - of the whole process, which has one terminal

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def line(self) -> str:
        raise NotImplementedError

    def __enter__(self) -> Any:
        if is_visible():
            self._shown.append(self)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self in self._shown:
            self._shown.remove(self)
            clear_line()

    def _show(self) -> None:
        while not self._stop.wait(0.5):
            if self._shown[-1:] == [self] and (text := self.line()):
                print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class Steps:
    """Says which stage of how many begins: ``[2/5] embed``. ``names``: of all, in their order."""

    current = ""  # of the whole process, for the progress line

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def __call__(self, name: str) -> None:
        """Begin ``name``, and say so."""
        Steps.current = f"[{self._names.index(name) + 1}/{len(self._names)}] {name}"
        clear_line()
        print(Steps.current, flush=True)


class TaskProgress(_Line):
    """The tasks of whatever Spark works on: ``compress  12 of 40 tasks  8 s``."""

    def __init__(self, spark: SparkSession, title: str) -> None:
        super().__init__()
        self._spark, self._title = spark, title

    def line(self) -> str:
        """See the class; empty while Spark does nothing."""
        try:
            tracker = self._spark.sparkContext.statusTracker()
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        except Exception:  # the JVM is going down; the job says so itself
            return ""
        total = sum(stage.numTasks for stage in stages if stage)
        if not total:
            return ""
        done = sum(stage.numCompletedTasks for stage in stages if stage)
        seconds = duration(time.monotonic() - self._start)
        return f"{Steps.current or self._title}  {done:,} of {total:,} tasks  {seconds}"


class Progress(_Line):
    """Counts rows while Spark works: ``with Progress(sc, "embed", total) as p:``, then ``p.done.add(n)`` in a task.

    Accumulators arrive when a task ends, and a task that is run twice counts twice, so these figures are for the eye; a
    summary counts the rows themselves.
    """

    def __init__(self, context: SparkContext, title: str, total: int) -> None:
        super().__init__()
        self.done: Accumulator[int] = context.accumulator(0)
        self.bad: Accumulator[int] = context.accumulator(0)
        self._title, self._total = title, total

    def line(self) -> str:
        """``embed  1,200 of 2,000  96.1 images/s  3 quarantined  8 s left``."""
        done, seconds = self.done.value, time.monotonic() - self._start
        rate = done / seconds if seconds else 0.0
        left = f"{duration(max(0, self._total - done) / rate)} left" if done else "starting"
        if done >= self._total:
            left = "writing"
        return (
            f"{self._title}  {done:,} of {self._total:,}  {rate:.1f} images/s  {self.bad.value:,} quarantined  {left}"
        )
