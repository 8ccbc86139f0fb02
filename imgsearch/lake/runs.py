"""What a run did: the one line each job prints, and the same as a row of ``runs``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from pyspark.sql import SparkSession

from imgsearch.lake.compaction import tidy
from imgsearch.lake.progress import clear_line
from imgsearch.lake.rows import frame_of
from imgsearch.lake.store import TableStore
from imgsearch.tables import FORMAT_VERSION, RUNS


@dataclass(frozen=True)
class RunSummary:
    """Rows of one run. ``rows_in = rows_out + quarantined`` always."""

    job: str
    rows_in: int
    rows_out: int
    quarantined: int
    seconds: float
    details: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows_per_second(self) -> float:
        """Rows in, per second of the run."""
        return self.rows_in / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        more = "".join(f"  {k}={v}" for k, v in self.details.items())
        return (
            f"{self.job}: {self.rows_in:,} in, {self.rows_out:,} out, {self.quarantined:,} quarantined, "
            f"{self.seconds:.1f} s, {self.rows_per_second:,.0f} rows/s{more}"
        )


class Stopwatch:
    """When a run began."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._start


Run = Callable[[SparkSession, Any], RunSummary]


def exclusive(name: str) -> Callable[[Run], Run]:
    """For a job's ``run``: in one warehouse, one run at a time of the jobs with this ``name`` (see ``leases``).

    A second one ends with a ``UserError`` that says who is at work.
    """

    def wrap(run: Run) -> Run:
        job = run.__module__.rpartition(".")[2]

        @wraps(run)
        def alone(spark: SparkSession, config: Any) -> RunSummary:
            with TableStore.open(spark, config.warehouse).lease(name, job):
                return run(spark, config)

        return alone

    return wrap


def finish(
    warehouse: TableStore,
    job: str,
    watch: Stopwatch,
    *,
    rows_in: int,
    rows_out: int,
    quarantined: int = 0,
    details: Mapping[str, object] | None = None,
    notes: tuple[str, ...] = (),
) -> RunSummary:
    """Close a run: append it to ``runs`` with the Delta versions it read and wrote, and return its summary."""
    if rows_in != rows_out + quarantined:
        raise RuntimeError(f"{job} lost rows: {rows_in} in, {rows_out} out, {quarantined} quarantined")
    texts = {k: str(v) for k, v in (details or {}).items()}
    summary = RunSummary(job, rows_in, rows_out, quarantined, watch.seconds(), texts, notes)
    row = (
        uuid.uuid4().hex, job, watch.started_at, summary.seconds, rows_in, rows_out, quarantined,
        summary.rows_per_second, dict(warehouse.versions_read), dict(warehouse.versions_written), texts,
        FORMAT_VERSION,
    )  # fmt: skip
    warehouse.append(RUNS, frame_of(warehouse.spark, RUNS, [row]))
    tidy(warehouse)
    warehouse.close()
    return summary


def print_summary(summary: RunSummary) -> RunSummary:
    """Print a stage's summary as its own job would."""
    clear_line()
    print(summary, flush=True)
    for note in summary.notes:
        print(f"  {note}", flush=True)
    return summary
