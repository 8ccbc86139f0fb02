"""Two jobs started together on one warehouse, by two real processes: nothing doubled, nothing lost, no fault.

``make test`` runs the pairs that write the same tables; ``make test-pairs`` runs all of them (``IMGSEARCH_PAIRS=all``).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.lake.store import TableStore
from imgsearch.tables import ALL_TABLES, EMBEDDINGS, IMAGES, MATCHES, MEMBERS, NEIGHBOURS, QUARANTINE, VECTORS

ROOT = Path(__file__).resolve().parents[2]
N_KINDS, N_FIRST, N_LATER, N_NEW = 3, 6, 2, 3
JOBS = ("ingest", "embed", "compress", "cluster", "label", "search", "dedup", "neighbours")
DANGEROUS = (
    ("embed", "embed"), ("ingest", "ingest"), ("compress", "compress"), ("cluster", "cluster"), ("compress", "cluster"),
    ("embed", "cluster"), ("embed", "compress"), ("search", "search"),
    ("neighbours", "neighbours"), ("compress", "neighbours"),
)  # fmt: skip
ALL_PAIRS = tuple(itertools.combinations_with_replacement(JOBS, 2))
PAIRS = ALL_PAIRS if os.environ.get("IMGSEARCH_PAIRS") == "all" else DANGEROUS


class Writer:
    """A process with a session of its own that runs jobs when it is told (``tests/support/writer.py``)."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "writer.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def ready(self) -> None:
        assert self._line() == "ready"

    def begin(self, *argv: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(argv) + "\n")
        self._process.stdin.flush()

    def outcome(self) -> tuple[int, list[str]]:
        answer = json.loads(self._line())
        return answer["code"], [line for line in answer["lines"] if not line.startswith("waiting for another run")]

    def run(self, *argv: str) -> None:
        self.begin(*argv)
        assert self.outcome() == (0, []), argv

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Setting(NamedTuple):
    """Two writers, a finished warehouse with images that are not embedded yet, and what the jobs are given."""

    writers: tuple[Writer, Writer]
    base: Path
    options: dict[str, list[str]]


@pytest.fixture(scope="module")
def setting(
    tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path], tiny: str, own_graph_cache: Path
) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("pairs")
    for name, visits in (("first", range(N_FIRST)), ("later", range(10, 10 + N_LATER)), ("new", range(20, 20 + N_NEW))):
        for kind, visit in itertools.product(range(N_KINDS), visits):
            draw(folder / name / f"{kind}-{visit}.png", kind, visit)
    (folder / "new" / "bad.png").write_text("no picture")
    draw(folder / "queries" / "q.png", 1, 50)
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{k}-0.png,kind {k}\n" for k in range(N_KINDS)))
    options = {
        "ingest": ["--input", str(folder / "new")],
        "embed": ["--encoder", tiny, "--slice-images", "4"],
        "compress": ["--refit", "--n-components", "6"],
        "cluster": ["--refit", "--n-clusters", "4"],
        "label": ["--labels", str(folder / "labels.csv")],
        "search": ["--queries", str(folder / "queries"), "--top-k", "3", "--search-id", "one"],
        "dedup": ["--threshold", "0.97"],
        "neighbours": [],
    }
    writers = (Writer(), Writer())
    base = folder / "base"
    for writer in writers:
        writer.ready()
    maker = writers[0]
    maker.run("ingest", "--warehouse", str(base), "--input", str(folder / "first"))
    maker.run("embed", "--warehouse", str(base), "--encoder", tiny)
    maker.run("compress", "--warehouse", str(base), "--n-components", "5")
    maker.run("cluster", "--warehouse", str(base), "--n-clusters", "3")
    maker.run("ingest", "--warehouse", str(base), "--input", str(folder / "later"))
    yield Setting(writers, base, options)
    for writer in writers:
        writer.close()


def rows_of(warehouse: TableStore, spec: Any) -> list[Any]:
    return warehouse.read(spec).collect() if warehouse.exists(spec) else []


def doubled(warehouse: TableStore) -> dict[str, list[Any]]:
    """The keys that more than one row has, by table."""
    found = {}
    for spec in ALL_TABLES:
        if warehouse.exists(spec):
            counts = warehouse.read(spec).groupBy(*spec.key).count().where(F.col("count") > 1).collect()
            if counts:
                found[spec.name] = counts
    return found


def settle(setting: Setting, place: str) -> None:
    """Run the chain once more, alone."""
    for job in ("embed", "compress", "cluster", "label", "search", "dedup", "neighbours"):
        given = [] if job in ("compress", "cluster") else setting.options[job]
        setting.writers[0].run(job, "--warehouse", place, *given)


def check_whole(warehouse: TableStore, n_images: int) -> None:
    """Every image has one embedding, one vector and one cluster, and no table has a key twice."""
    assert doubled(warehouse) == {}
    image_ids = sorted(row["image_id"] for row in rows_of(warehouse, IMAGES))
    assert len(image_ids) == n_images
    assert sorted(row["image_id"] for row in rows_of(warehouse, EMBEDDINGS)) == image_ids
    vectors = rows_of(warehouse, VECTORS)
    current = {row["projection_id"] for row in rows_of(warehouse, MEMBERS)}
    assert len(current) == 1
    assert sorted(row["image_id"] for row in vectors if row["projection_id"] in current) == image_ids
    members = {row["image_id"]: row["cluster_id"] for row in rows_of(warehouse, MEMBERS)}
    assert sorted(members) == image_ids
    assert {r["image_id"]: r["cluster_id"] for r in vectors if r["projection_id"] in current} == members
    assert sorted(row["rank"] for row in rows_of(warehouse, MATCHES)) == [1, 2, 3]
    lists = [row for row in rows_of(warehouse, NEIGHBOURS) if row["projection_id"] in current]
    assert sorted(row["image_id"] for row in lists) == image_ids
    keys = {row["image_key"] for row in lists}
    assert all(set(np.frombuffer(row["neighbours"], "<i8")) <= keys | {-1} for row in lists)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_pair_started_together(
    spark: SparkSession, setting: Setting, tmp_path: Path, first: str, second: str
) -> None:
    place = tmp_path / "w"
    shutil.copytree(setting.base, place)
    for writer, job in zip(setting.writers, (first, second), strict=True):
        writer.begin(job, "--warehouse", str(place), *setting.options[job])
    outcomes = [writer.outcome() for writer in setting.writers]
    assert {code for code, _ in outcomes} <= {0, 2}, outcomes
    assert any(code == 0 for code, _ in outcomes), outcomes
    assert all(len(lines) == (1 if code else 0) for code, lines in outcomes), outcomes
    warehouse = TableStore.open(spark, str(place))
    assert doubled(warehouse) == {}
    settle(setting, str(place))
    ingested = N_NEW if "ingest" in (first, second) else 0
    check_whole(TableStore.open(spark, str(place)), N_KINDS * (N_FIRST + N_LATER + ingested))
    assert len(rows_of(warehouse, QUARANTINE)) == (1 if ingested else 0)


@pytest.mark.parametrize("job", ["ingest"])
def test_two_first_runs(spark: SparkSession, setting: Setting, tmp_path: Path, job: str) -> None:
    place = tmp_path / "w"
    for writer in setting.writers:
        writer.begin(job, "--warehouse", str(place), *setting.options[job])
    assert [writer.outcome() for writer in setting.writers] == [(0, []), (0, [])]
    warehouse = TableStore.open(spark, str(place))
    assert doubled(warehouse) == {}
    assert (len(rows_of(warehouse, IMAGES)), len(rows_of(warehouse, QUARANTINE))) == (N_KINDS * N_NEW, 1)
    for writer in setting.writers:
        writer.begin("embed", "--warehouse", str(place), *setting.options["embed"])
    assert [writer.outcome()[0] in (0, 2) for writer in setting.writers] == [True, True]
    assert len(rows_of(warehouse, EMBEDDINGS)) == N_KINDS * N_NEW
