"""Drift: what each run of ``cluster`` measured of its images, against the fit they were assigned to."""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.drift import Drift, Level, drift, together
from imgsearch.lake.rows import frame_of
from imgsearch.lake.store import TableStore
from imgsearch.tables import DRIFT


def level_of(members: DataFrame) -> Level | None:
    """The level of ``members`` (``score``, ``is_outlier``); ``None`` for no row."""
    score = F.col("score").cast("double")
    share = F.avg(F.col("is_outlier").cast("double"))
    row = members.agg(F.count("*"), share, F.avg(score), F.stddev_pop(score)).collect()[0]  # one row
    return Level(*row) if row[0] else None


def expected_level(members: DataFrame) -> Level:
    """What new images of the same kind would show, from the images that the clusters were made of.

    ``members``: ``score``, the ``stretch`` of its cluster as in ``drift.stretch``, and its ``outlier_threshold``.
    """
    score = 1 - (1 - F.col("score").cast("double")) * F.col("stretch")
    level = level_of(members.select(score.alias("score"), (score < F.col("outlier_threshold")).alias("is_outlier")))
    if level is None:
        raise ValueError("a level needs at least one image")
    return level


def record_fit(warehouse: TableStore, projection_id: str, level: Level) -> None:
    """A new fit, and the ``level`` that images of the same kind will show."""
    _append(warehouse, (projection_id, "fit", *level, None, None, False, None))


def record_assign(warehouse: TableStore, projection_id: str, level: Level) -> Drift | None:
    """Compare newly assigned images, alone and with all assigned since the fit, and note the outcome.

    Once a re-fit is due it stays due until there is one. ``None`` where no fit was noted for this projection.
    """
    fit, since, earlier = _since_fit(warehouse, projection_id)
    if fit is None:
        return None
    alone, all_of_them = drift(fit, level), drift(fit, together([*since, level]))
    reason = all_of_them.reason or alone.reason or earlier
    worst = all_of_them if all_of_them.reason or not alone.reason else alone
    outcome = worst._replace(reason=reason)
    due = (outcome.outlier_change, outcome.score_change, reason is not None, reason)
    _append(warehouse, (projection_id, "assign", *level, *due))
    return outcome


def _since_fit(warehouse: TableStore, projection_id: str) -> tuple[Level | None, list[Level], str | None]:
    if not warehouse.exists(DRIFT):
        return None, [], None
    frame = warehouse.read(DRIFT).where(F.col("projection_id") == projection_id)
    rows = frame.orderBy("measured_at").collect()
    fits = [i for i, row in enumerate(rows) if row["event"] == "fit"]
    if not fits:
        return None, [], None
    levels = [Level(r["images"], r["outlier_share"], r["mean_score"], r["score_deviation"]) for r in rows[fits[-1] :]]
    reasons = [r["reason"] for r in rows[fits[-1] :] if r["reason"]]
    return levels[0], levels[1:], reasons[-1] if reasons else None


def _append(warehouse: TableStore, row: tuple[object, ...]) -> None:
    plain = tuple(x.item() if isinstance(x, np.generic) else x for x in row)
    frame = frame_of(warehouse.spark, DRIFT, [plain], DRIFT.columns[1:])
    warehouse.append(DRIFT, frame.withColumn("measured_at", F.current_timestamp()))
