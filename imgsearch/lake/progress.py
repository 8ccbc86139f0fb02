"""Progress on a terminal: one line that rewrites itself, fed by accumulators from the executors."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType

from pyspark import Accumulator, SparkContext


class Progress:
    """Counts rows while Spark works: ``with Progress(sc, "embed", total) as p:``, then ``p.done.add(n)`` in a task.

    Shown only where the launcher saw a terminal (``IMGSEARCH_PROGRESS``). Accumulators arrive when a task ends, and a
    task that is run twice counts twice, so these figures are for the eye; a summary counts the rows themselves.
    """

    def __init__(self, context: SparkContext, title: str, total: int) -> None:
        self.done: Accumulator[int] = context.accumulator(0)
        self.bad: Accumulator[int] = context.accumulator(0)
        self._title, self._total = title, total
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._visible = bool(os.environ.get("IMGSEARCH_PROGRESS"))

    def __enter__(self) -> Progress:
        if self._visible:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._visible:
            self._thread.join()
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def line(self) -> str:
        """``embed  1,200 of 2,000  96.1 images/s  3 quarantined  8 s left``."""
        done, seconds = self.done.value, time.monotonic() - self._start
        rate = done / seconds if seconds else 0.0
        left = f"{duration((self._total - done) / rate)} left" if done else "starting"
        return (
            f"{self._title}  {done:,} of {self._total:,}  {rate:.1f} images/s  {self.bad.value:,} quarantined  {left}"
        )

    def _show(self) -> None:
        while not self._stop.wait(0.5):
            print(f"\r\x1b[K{self.line()}", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """
    >>> duration(8), duration(90), duration(7300)
    ('8 s', '2 min', '2 h 02 min')
    """
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
