"""Rows that cost much to compute, kept in the warehouse's own ``_staging`` until they are committed.

They are written by Spark's committer, a file a task: an executor that is lost costs the tasks it had, and a commit that
must be tried again reads them once more. Each run has its own folder and a lease on it; the folder of a run that is
gone is removed by the next one.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession

from imgsearch.lake.leases import Lease, give_back, is_live, take
from imgsearch.lake.shared_files import SharedFolder, shared_folder

STAGING, LEASES = "_staging", "_leases"


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
        if self._lease is None:
            self.remove_left_over()
            self._lease = take(self._leases(), f"run-{self.run_id}", "staging")
        self._count += 1
        folder = f"{self.run_id}/{name}-{self._count}"
        path = f"{self.location}/{STAGING}/{folder}"
        frame.write.mode("error").parquet(path)
        return self.spark.read.schema(frame.schema).parquet(path), folder

    def remove(self, folder: str) -> None:
        """Remove one frame's files."""
        self._folder().remove(folder)

    def close(self) -> None:
        """Remove all that this run staged."""
        if self._lease is not None:
            self._folder().remove(self.run_id)
            give_back(self._lease, forget=True)
            self._lease = None

    def remove_left_over(self) -> None:
        """Remove what runs that are gone have left."""
        folder, leases = self._folder(), self._leases()
        for run_id in folder.names():
            if not is_live(leases, f"run-{run_id}"):
                with suppress(OSError):
                    folder.remove(run_id)
                    for file in leases.names():
                        if file.startswith(f"run-{run_id}."):
                            leases.remove(file)

    def _folder(self) -> SharedFolder:
        return shared_folder(self.spark, f"{self.location}/{STAGING}")

    def _leases(self) -> SharedFolder:
        return shared_folder(self.spark, f"{self.location}/{LEASES}")
