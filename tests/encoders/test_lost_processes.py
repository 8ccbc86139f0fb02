"""Processes that end while ``embed`` runs: a worker by its picture, an executor, the driver; and two runs at once.

Each run is a process of its own, with real workers. What makes a picture crash its decoder, or decoding slow, stands on
the workers' path (``tests/support/crashing``), nowhere in the product.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from pyspark.sql import SparkSession

from imgsearch.config import CompressConfig, EmbedConfig, IngestConfig
from imgsearch.encoders import embed
from imgsearch.images import ingest
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.tables import EMBEDDINGS, MATCHES, QUARANTINE

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = "local-cluster[2,1,1024]"
N_IMAGES = 40
SIZES = {"exit": (21, 7), "kill": (22, 7), "segfault": (23, 7)}  # as in tests/support/crashing

Draw = Callable[..., Path]
Run = subprocess.Popen


def start(master: str, warehouse: str, encoder: str, crashing: bool = True, load_seconds: float = 0.0) -> Run:
    """A run, in a process group of its own."""
    path = [str(ROOT), *([str(ROOT / "tests" / "support" / "crashing")] if crashing else [])]
    settings = {"PYTHONPATH": os.pathsep.join(path), "IMGSEARCH_TEST_LOAD_SECONDS": str(load_seconds)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "support" / "embed_run.py"), master, warehouse, encoder],
        stdout=subprocess.PIPE, text=True, env=os.environ | settings, start_new_session=True,
    )  # fmt: skip


def outcome(run: Run) -> dict:
    printed, _ = run.communicate(timeout=400)
    assert run.returncode == 0
    return json.loads(printed.splitlines()[-1])


def ingested(spark: SparkSession, folder: Path, draw: Draw, n_images: int) -> str:
    for i in range(n_images):
        draw(folder / "in" / f"{i}.png", i)
    ingest.run(spark, IngestConfig(input=str(folder / "in"), warehouse=str(folder / "w")))
    return str(folder / "w")


def ids(spark: SparkSession, warehouse: str) -> list[str]:
    rows = TableStore.open(spark, warehouse).read_or_empty(EMBEDDINGS).select("image_id").collect()
    return sorted(row["image_id"] for row in rows)


def staged_files(warehouse: str) -> list[Path]:
    return list(Path(warehouse).glob("_staging/*/kept-embed-*/part-*.parquet"))


def wait_for_staged(run: Run, warehouse: str, n_files: int) -> None:
    deadline = time.monotonic() + 300
    while len(staged_files(warehouse)) < n_files:
        assert run.poll() is None, "it ended before it was disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def executors(pid: int) -> list[int]:
    """JVMs that run tasks, among all that descend from ``pid``."""
    below = children(pid)
    found = []
    for child in below:
        try:
            if b"CoarseGrainedExecutorBackend" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
        except OSError:
            continue
    return found + [executor for child in below for executor in executors(child)]


@pytest.mark.parametrize("master", ["local[2]", CLUSTER])
def test_pictures_that_kill_their_worker_are_rows(
    spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str, master: str
) -> None:
    """On ``local`` Spark does not try a task again, so ``embed`` does."""
    for i, crash in enumerate(("exit", "kill", "segfault")):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", SIZES[crash], (i * 40, 9, 9)).save(tmp_path / "in" / f"{crash}.png")
    warehouse = ingested(spark, tmp_path, draw, 12)
    done = outcome(start(master, warehouse, tiny))
    assert (done["in"], done["out"], done["bad"]) == (15, 12, 3)
    refused = TableStore.open(spark, warehouse).read(QUARANTINE).collect()
    assert {row["reason"] for row in refused} == {"killed_worker"}
    said = {Path(row["path"]).stem: row["detail"] for row in refused}
    assert "exit code 1" in said["exit"]
    assert "SIGKILL" in said["kill"]
    assert "SIGSEGV" in said["segfault"]
    assert len(set(ids(spark, warehouse))) == len(ids(spark, warehouse)) == 12
    if master == CLUSTER:  # with a codec that does not crash they are pictures like others
        mended = outcome(start("local[2]", warehouse, tiny, crashing=False))
        assert (mended["in"], mended["out"], mended["bad"]) == (3, 3, 0)
        assert TableStore.open(spark, warehouse).read(QUARANTINE).isEmpty()


def test_a_query_that_kills_its_worker_is_a_row(spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str) -> None:
    warehouse = ingested(spark, tmp_path, draw, 12)
    embed.run(spark, EmbedConfig(warehouse=warehouse, encoder=tiny))
    compress.run(spark, CompressConfig(warehouse=warehouse, n_components=4))
    draw(tmp_path / "queries" / "good.png", 3)
    Image.new("RGB", SIZES["kill"]).save(tmp_path / "queries" / "bad.png")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support" / "crashing")])
    searched = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "search.py"), "--warehouse", warehouse, "--queries",
         str(tmp_path / "queries")],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert searched.returncode == 0, searched.stderr
    assert "search: 2 in, 1 out, 1 quarantined" in searched.stdout
    store = TableStore.open(spark, warehouse)
    assert [row["reason"] for row in store.read(QUARANTINE).collect()] == ["killed_worker"]
    first = store.read(MATCHES).where("rank = 1").collect()
    assert [Path(row["query_path"]).name for row in first] == ["good.png"]


def test_an_executor_that_is_lost_late_costs_its_tasks_only(
    spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str
) -> None:
    warehouse = ingested(spark, tmp_path, draw, N_IMAGES)
    run = start(CLUSTER, warehouse, tiny, load_seconds=0.3)
    wait_for_staged(run, warehouse, 2)
    before = {file: file.stat().st_mtime_ns for file in staged_files(warehouse)}
    victims = executors(run.pid)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    while run.poll() is None and staged_files(warehouse):  # what was computed is not computed again
        for file in before:
            if file.exists():
                assert file.stat().st_mtime_ns == before[file]
        time.sleep(0.1)
    done = outcome(run)
    assert (done["in"], done["out"], done["bad"]) == (N_IMAGES, N_IMAGES, 0)
    assert len(set(ids(spark, warehouse))) == len(ids(spark, warehouse)) == N_IMAGES
    assert not list(Path(warehouse).glob("_staging/*/*"))


def test_what_a_killed_run_had_computed_is_taken_over(
    spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str
) -> None:
    warehouse = ingested(spark, tmp_path, draw, N_IMAGES)
    run = start("local[2]", warehouse, tiny, load_seconds=0.3)
    wait_for_staged(run, warehouse, 2)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert ids(spark, warehouse) == []
    n_staged = spark.read.parquet(*map(str, staged_files(warehouse))).count()
    assert 0 < n_staged < N_IMAGES
    done = outcome(start("local[2]", warehouse, tiny))
    assert int(done["taken_over"]) == n_staged
    assert (done["in"], done["out"], done["bad"]) == (N_IMAGES, N_IMAGES, 0)
    assert len(set(ids(spark, warehouse))) == len(ids(spark, warehouse)) == N_IMAGES
    assert not list(Path(warehouse).glob("_staging/*/*"))


def test_two_runs_at_once_embed_each_image_once(spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str) -> None:
    warehouse = ingested(spark, tmp_path, draw, N_IMAGES)
    runs = [start("local[1]", warehouse, tiny, load_seconds=0.2) for _ in range(2)]
    done = [outcome(run) for run in runs]
    assert sum(one["out"] for one in done) == N_IMAGES  # none was computed twice
    assert len(set(ids(spark, warehouse))) == len(ids(spark, warehouse)) == N_IMAGES
