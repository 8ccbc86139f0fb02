"""A run that is stopped after any of its commits: the same command goes on, and the tables are those of a whole run."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from imgsearch.clusters import cluster
from imgsearch.config import ClusterConfig, CompressConfig, DropConfig, EmbedConfig, IngestConfig, SearchConfig
from imgsearch.encoders import embed
from imgsearch.images import ingest
from imgsearch.lake import store
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.retrieval import search
from imgsearch.tables import ALL_TABLES
from imgsearch.upkeep import drop

N_KINDS, N_FIRST, N_LATER = 3, 4, 2
#: Tables that say what runs did; a run that was stopped and went on did more.
LOGS = ("runs", "drift", "cluster_events", "searches")
MOST_COMMITS = 20


@pytest.fixture(scope="module")
def base(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path], tiny: str
) -> tuple[Path, str]:
    """A folder with pictures, and a finished warehouse with images that nothing but ``ingest`` has seen."""
    folder = tmp_path_factory.mktemp("stopped")
    for name, visits in (("first", range(N_FIRST)), ("later", range(10, 10 + N_LATER)), ("new", range(20, 22))):
        for kind, visit in itertools.product(range(N_KINDS), visits):
            draw(folder / name / f"{kind}-{visit}.png", kind, visit)
    (folder / "new" / "bad.png").write_text("no picture")
    draw(folder / "queries" / "q.png", 1, 50)
    w = str(folder / "w")
    ingest.run(spark, IngestConfig(warehouse=w, input=str(folder / "first")))
    embed.run(spark, EmbedConfig(warehouse=w, encoder=tiny))
    compress.run(spark, CompressConfig(warehouse=w, n_components=5))
    cluster.run(spark, ClusterConfig(warehouse=w, n_clusters="3"))
    search.run(spark, SearchConfig(warehouse=w, queries=str(folder / "queries"), top_k=3))
    ingest.run(spark, IngestConfig(warehouse=w, input=str(folder / "later")))
    return folder, tiny


def a_run(job: str, w: str, folder: Path, encoder: str) -> Callable[[SparkSession], object]:
    """What is stopped: a call of the job on the warehouse ``w``."""
    runs: dict[str, Callable[[SparkSession], object]] = {
        "ingest": lambda spark: ingest.run(spark, IngestConfig(warehouse=w, input=str(folder / "new"))),
        "embed": lambda spark: embed.run(spark, EmbedConfig(warehouse=w, encoder=encoder, slice_images=3)),
        "compress": lambda spark: compress.run(spark, CompressConfig(warehouse=w, refit=True, n_components=6)),
        "cluster": lambda spark: cluster.run(spark, ClusterConfig(warehouse=w, refit=True, n_clusters="4")),
        "search": lambda spark: search.run(
            spark,
            SearchConfig(
                warehouse=w, queries=str(folder / "queries"), top_k=2, nprobe=2, group_by="format", search_id="one"
            ),
        ),
        "drop": lambda spark: drop.run(spark, DropConfig(warehouse=w, encoder=encoder)),
    }
    return runs[job]


def contents(spark: SparkSession, w: str) -> dict[str, list[Any]]:
    """Every table but the logs: its rows without times, in one order."""
    warehouse = TableStore.open(spark, w)
    found = {}
    for spec in ALL_TABLES:
        if spec.name not in LOGS and warehouse.exists(spec):
            frame = warehouse.read(spec)
            own = ["path"] if spec.name == "projections" else []
            frame = frame.drop(*own, *(c for c in frame.columns if c.endswith("_at")))
            found[spec.name] = sorted(map(str, (row.asDict() for row in frame.collect())))
    return found


class Stopped(BaseException):
    """The end of a run, wherever it is."""


def stopped_after(monkeypatch: pytest.MonkeyPatch, n_commits: int, run: Callable[[], object]) -> bool:
    """Call ``run`` and end it after ``n_commits`` commits; whether it was ended."""
    commit, made = store.commit, itertools.count(1)

    def counted(*args: Any) -> int | None:
        version = commit(*args)
        if next(made) == n_commits:
            raise Stopped
        return version

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", counted)
        try:
            run()
        except Stopped:
            return True
    return False


@pytest.mark.parametrize("job", ["ingest", "embed", "compress", "cluster", "search", "drop"])
def test_the_same_command_goes_on(
    spark: SparkSession, base: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    folder, encoder = base
    whole = tmp_path / "whole"
    shutil.copytree(folder / "w", whole)
    a_run(job, str(whole), folder, encoder)(spark)
    expected = contents(spark, str(whole))
    for n_commits in range(1, MOST_COMMITS):
        place = tmp_path / f"stopped-{n_commits}"
        shutil.copytree(folder / "w", place)
        run = a_run(job, str(place), folder, encoder)
        was_stopped = stopped_after(monkeypatch, n_commits, lambda: run(spark))  # noqa: B023
        if not was_stopped:
            break
        if job != "drop" or "encoders" in contents(spark, str(place)):
            run(spark)
        assert contents(spark, str(place)) == expected, f"stopped after {n_commits} commits"
    assert n_commits > 1
