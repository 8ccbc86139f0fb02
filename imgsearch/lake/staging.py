"""Rows that cost much to compute, kept in the warehouse's own ``_staging`` until they are committed.

They are written by Spark's committer, a file a task: an executor that is lost costs the tasks it had, and a commit that
must be tried again reads them once more. Each run has its own folder and a lease on it; the folder of a run that is
gone is removed by the next one.
"""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from imgsearch.lake.leases import Lease, give_back, is_live, take
from imgsearch.lake.shared_files import SharedFolder, shared_folder

STAGING, LEASES = "_staging", "_leases"
RUN_ID = re.compile(r"[0-9a-f]{32}")
#: Begins the names of rows that outlive a run that was stopped, for the next one to go on with; and for how long.
KEPT, KEPT_SECONDS = "kept-", 7 * 24 * 3600.0


@dataclass(frozen=True)
class StagedRows:
    """Rows in ``folder`` of the staging at ``location``.

    Each task's file stands there from the moment when the task is done (version 2 of Hadoop's committer), so that a job
    that fails half-way, or a driver that dies, leaves what finished tasks have computed.
    """

    spark: SparkSession
    location: str
    folder: str

    @property
    def path(self) -> str:
        """Where the files are."""
        return f"{self.location}/{STAGING}/{self.folder}"

    def add(self, frame: DataFrame) -> None:
        """Compute ``frame`` and write it beside what is there already."""
        writer = frame.write.mode("append").option("mapreduce.fileoutputcommitter.algorithm.version", "2")
        writer.parquet(self.path)

    def read(self, schema: T.StructType, *, left_over: bool = False) -> DataFrame:
        """What is there. A row may be doubled where a task was run twice.

        ``left_over``: by a run that is gone; a file that was not written whole is no fault.
        """
        if not any(name.endswith(".parquet") for name in shared_folder(self.spark, self.path).names()):
            return self.spark.createDataFrame([], schema)
        reader = self.spark.read.schema(schema).option("ignoreCorruptFiles", str(left_over).lower())
        return reader.parquet(self.path)

    def remove(self) -> None:
        """Remove the files."""
        shared_folder(self.spark, f"{self.location}/{STAGING}").remove(self.folder)


@dataclass
class Staging:
    """What one run has staged in the warehouse at ``location``."""

    spark: SparkSession
    location: str
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _lease: Lease | None = None
    _count: int = 0

    def stage(self, frame: DataFrame, name: str) -> tuple[DataFrame, str]:
        """Compute ``frame`` and write it; the same rows read from there, and what ``remove`` is given."""
        rows = self.rows(name)
        rows.add(frame)
        return rows.read(frame.schema), rows.folder

    def rows(self, name: str) -> StagedRows:
        """A new, empty place for rows, which may be added in several goes."""
        if self._lease is None:
            self.remove_left_over()
            self._lease = take(self._leases(), f"run-{self.run_id}", "staging")
        self._count += 1
        return StagedRows(self.spark, self.location, f"{self.run_id}/{name}-{self._count}")

    def left_over(self, name: str) -> list[StagedRows]:
        """What runs that are gone left of ``kept`` rows with this name."""
        pattern = re.compile(re.escape(KEPT + name) + r"-\d+")
        gone = [run_id for run_id in self._folder().names() if not is_live(self._leases(), f"run-{run_id}")]
        return [
            StagedRows(self.spark, self.location, f"{run_id}/{folder}")
            for run_id in gone
            for folder in shared_folder(self.spark, f"{self.location}/{STAGING}/{run_id}").names()
            if pattern.fullmatch(folder)
        ]

    def remove(self, folder: str) -> None:
        """Remove one frame's files."""
        self._folder().remove(folder)

    def close(self) -> None:
        """Remove all that this run staged."""
        if self._lease is not None:
            self._folder().remove(self.run_id)
            give_back(self._lease, forget=True)
            self._lease = None

    def leave(self) -> None:
        """Leave what is staged, as a run does that is gone."""
        if self._lease is not None:
            give_back(self._lease)
        self._lease, self.run_id = None, uuid.uuid4().hex

    def remove_left_over(self) -> None:
        """Remove what runs that are gone have left, but rows that another run may go on with, for a week."""
        folder, leases = self._folder(), self._leases()
        for run_id in filter(RUN_ID.fullmatch, folder.names()):  # what has another name is another's
            if not is_live(leases, f"run-{run_id}") and not self._is_kept(run_id):
                with suppress(OSError):
                    folder.remove(run_id)
                    for file in leases.names():
                        if file.startswith(f"run-{run_id}."):
                            leases.remove(file)

    def _is_kept(self, run_id: str) -> bool:
        written = self._folder().modified(run_id)
        names = shared_folder(self.spark, f"{self.location}/{STAGING}/{run_id}").names()
        is_new = written is not None and self._folder().now() - written < KEPT_SECONDS
        return is_new and any(name.startswith(KEPT) for name in names)

    def _folder(self) -> SharedFolder:
        return shared_folder(self.spark, f"{self.location}/{STAGING}")

    def _leases(self) -> SharedFolder:
        return shared_folder(self.spark, f"{self.location}/{LEASES}")
