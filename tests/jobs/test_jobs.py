"""Jobs end to end, as a user starts them: ``./spark-submit.sh``, its exit codes, and what stands on disk after."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--master", "local[2]", "--driver-memory", "1g", "--conf", "spark.sql.shuffle.partitions=2"]

pytestmark = pytest.mark.spark


def launch(*argv: object, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    """One job, from another folder than the checkout, without a terminal."""
    return subprocess.run(
        [str(ROOT / "spark-submit.sh"), *SMALL, *map(str, argv)],
        capture_output=True, text=True, timeout=timeout, check=False, cwd="/", stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, launch("demo", "--images", 80, "--queries", 6, "--output", out)


def test_the_demo(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = demo
    assert done.returncode == 0, done.stderr[-2000:]
    for stage in ("ingest", "embed", "compress", "cluster", "label", "search", "evaluate", "export", "demo"):
        assert f"\n{stage}: " in done.stdout
    assert done.stderr == "" or "setup:" in done.stderr, done.stderr[-2000:]
    report = Path(done.stdout.split("the report: file://")[1].splitlines()[0])
    assert report.is_file()
    with (out / "matches.csv").open(newline="", encoding="utf-8") as file:
        matches = list(csv.DictReader(file))
    assert list(matches[0])[:6] == ["query_id", "query_path", "rank", "image_id", "path", "score"]
    assert len(matches) == 6 * 10
    with (out / "metrics_kind.csv").open(newline="", encoding="utf-8") as file:
        quality = {(r["metric"], r["k"]): float(r["value"]) for r in csv.DictReader(file)}
    assert quality["search_precision_at_k", "1"] >= 0.8  # chance is 0.125: there are 8 kinds
    assert quality["precision_at_k", "1"] >= 0.8


def test_a_mistake_that_only_the_tables_show_is_2_in_one_line(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, _ = demo
    done = launch("search", "--warehouse", out / "warehouse", "--queries", out / "gallery" / "queries", "--top-k", 5000)
    assert done.returncode == 2
    assert done.stdout.startswith("search: Spark ")
    assert done.stdout.count("\n") == 1
    assert done.stderr.startswith("imgsearch: --top-k 5000: the gallery has ")
    assert done.stderr.count("\n") == 1


def test_a_fault_is_1_in_one_line_with_the_trace_in_a_file(tmp_path: Path) -> None:
    log = tmp_path / "w" / "images" / "_delta_log" / "00000000000000000000.json"
    log.parent.mkdir(parents=True)
    log.write_text("{ this is no commit")
    done = launch("embed", "--warehouse", tmp_path / "w")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len([line for line in lines if line.startswith("embed: fault: ")]) == 1
    assert "Traceback" not in done.stderr
    assert "\tat " not in done.stderr
    trace = Path(lines[-1].split("the whole trace: ")[1].rstrip(")"))
    assert "Traceback" in trace.read_text()
    os.unlink(trace)
