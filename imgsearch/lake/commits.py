"""One commit to a Delta table, safe against a second writer.

Delta decides by optimistic concurrency: whoever comes second is told, and tries again here. That rests on a file of the
log being created by one writer only, which Hadoop's filesystem for local disks does not promise to two processes (it
looks first and renames then). So on a local disk the writers of one table take turns, by ``flock``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from imgsearch.errors import UserError
from imgsearch.lake.leases import check_held
from imgsearch.lake.turns import turn

CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
#: What the second of two writers that both make a table is told.
BOTH_MADE_IT = ("DELTA_PATH_EXISTS", "DELTA_TABLE_ALREADY_EXISTS", "TABLE_OR_VIEW_ALREADY_EXISTS")
#: Where Delta notes the version of each commit of this session.
LAST_COMMIT = "spark.databricks.delta.lastCommitVersionInSession"
ATTEMPTS = 12


def commit(spark: SparkSession, table: str, lock: Path | None, write: Callable[[int], object]) -> int | None:
    """Call ``write`` until Delta takes what it commits; the version that it became, ``None`` where nothing changed.

    ``table``: its name, for people. ``lock``: a file that the writers of this table on this machine lock, ``None``
    where the filesystem keeps two writers apart. ``write`` gets the number of the attempt, from 0. Raises ``UserError``
    where other writers were faster ``ATTEMPTS`` times.
    """
    for attempt in range(ATTEMPTS):
        check_held()
        spark.conf.unset(LAST_COMMIT)
        try:
            with turn(lock, table):
                write(attempt)
        except Exception as e:
            if not _is_conflict(e):
                raise
            time.sleep(random.uniform(0.1, 0.3) * min(2**attempt, 20))
            continue
        version = spark.conf.get(LAST_COMMIT, None)
        return None if version is None else int(version)
    raise UserError(
        f"table '{table}': another writer changed it {ATTEMPTS} times while this run was writing; wait until it has "
        "ended and run the same command again (what was committed stays)"
    )


def _is_conflict(error: Exception) -> bool:
    if isinstance(error, CONFLICTS):
        return True
    return isinstance(error, AnalysisException) and (error.getCondition() or "").split(".")[0] in BOTH_MADE_IT
