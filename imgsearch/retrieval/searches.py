"""Searches as rows: each has a ``search_id``, its matches stay beside those of others, and the oldest are let go."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.config import SearchConfig
from imgsearch.errors import UserError, did_you_mean
from imgsearch.lake.rows import frame_of
from imgsearch.lake.runs import Stopwatch
from imgsearch.lake.store import TableStore
from imgsearch.tables import GROUP_MATCHES, MATCHES, SEARCHES, TableSpec


class Answered(NamedTuple):
    """What is known of a search when it is over."""

    n_queries: int
    n_matches: int
    gallery: int
    encoder_id: str
    projection_id: str
    nprobe: int | None
    recall: float | None


def new_search_id(config: SearchConfig, started_at: datetime) -> str:
    """``--search-id``, or one of the time and a hash of the settings: ``20260102T030405.678901-1a2b3c4d``."""
    if config.search_id is not None:
        return config.search_id
    settings = json.dumps(dataclasses.asdict(config), sort_keys=True)
    stamp = started_at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")
    return f"{stamp}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def write_answers(warehouse: TableStore, spec: TableSpec, rows: DataFrame, search_id: str) -> None:
    """Put a search's rows in ``spec``; those of an earlier search of this name go."""
    rows = rows.withColumn("search_id", F.lit(search_id))
    has_searches = warehouse.exists(spec) and "search_id" in warehouse.spark.table(warehouse.name(spec)).columns
    # an older table holds one search, which has no name
    warehouse.replace(spec, rows, where=f"search_id = '{search_id}'" if has_searches else None)


def record_search(
    warehouse: TableStore, search_id: str, watch: Stopwatch, config: SearchConfig, answered: Answered
) -> None:
    """The search's row in ``searches``; with it, it is the last one. Those beyond ``--keep-searches`` are removed."""
    settings = {k: str(v) for k, v in dataclasses.asdict(config).items() if v is not None}
    row = (
        search_id, watch.started_at, watch.seconds(), config.queries, answered.n_queries, answered.n_matches,
        answered.gallery, config.top_k, answered.encoder_id, answered.projection_id, answered.nprobe,
        answered.recall, settings, dict(warehouse.versions_read),
    )  # fmt: skip
    warehouse.replace(SEARCHES, frame_of(warehouse.spark, SEARCHES, [row]), where=f"search_id = '{search_id}'")
    _forget(warehouse, config.keep_searches)


def _forget(warehouse: TableStore, n_searches: int) -> None:
    ids = [row["search_id"] for row in _latest_first(warehouse)]
    gone = ids[n_searches:]
    if gone:
        for spec in (MATCHES, GROUP_MATCHES, SEARCHES):
            if warehouse.exists(spec):
                warehouse.delete(spec, F.col("search_id").isin(gone))


def _latest_first(warehouse: TableStore) -> list[dict[str, str]]:
    """One row a search: at most ``--keep-searches`` of them and those of searches that run now."""
    rows = warehouse.read_or_empty(SEARCHES).select("search_id", "started_at")
    return [row.asDict() for row in rows.orderBy(F.desc("started_at"), "search_id").collect()]


def answers_of(warehouse: TableStore, spec: TableSpec, search_id: str | None = None) -> DataFrame:
    """The rows of ``matches`` or ``group_matches`` of one search: the last, or the one named. Raises ``UserError``."""
    rows = warehouse.read_or_empty(spec)
    ids = [row["search_id"] for row in _latest_first(warehouse)]
    if search_id is not None and search_id not in ids:
        raise UserError(
            f"--search-id {search_id}: there is no such search{did_you_mean(search_id, ids)}; "
            f"there are {', '.join(ids[:10]) or 'none'}"
        )
    if not ids:  # a warehouse older than ``searches``
        return rows
    return rows.where(F.col("search_id") == (search_id or ids[0]))
