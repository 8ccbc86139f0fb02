"""What tests share: one Spark session a run, a tiny encoder, drawn pictures, and the order of heights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from support.tiny import write_tiny

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
HEIGHTS = (
    "topk",
    "lake",
    "images",
    "projections",
    "clusters",
    "encoders",
    "retrieval",
    "duplicates",
    "labels",
    "report",
    "upkeep",
    "review",
    "demo",
    "jobs",
    "cluster",
)

#: Proofs by whole chains of real processes, or over all real photographs: minutes each (`make test-slow`).
SLOW = {
    "test_two_writers.py", "test_stopped_runs.py", "test_lost_processes.py", "test_old_warehouse.py",
    "test_two_encoders.py", "test_wheel.py", "test_browser.py", "test_real_data.py", "test_examples.py",
    "test_connect.py",
}  # fmt: skip

#: Each JVM of the tests is short-lived: its second compiler would take half of the time, and never pay for itself.
#: With one compiler the JVM has 48 MB for code, which a few files of tests fill: then everything is interpreted.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m")

settings.register_profile("imgsearch", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("imgsearch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap tests first; whatever takes the ``spark`` fixture is marked so."""
    for item in items:
        if item.path.name in SLOW:
            item.add_marker(pytest.mark.slow)
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)

    def height(item: pytest.Item) -> tuple[bool, int]:
        parts = item.path.relative_to(ROOT).parts
        level = HEIGHTS.index(parts[1]) + 1 if parts[0] == "tests" and parts[1] in HEIGHTS else 0
        return item.get_closest_marker("spark") is not None, level

    items.sort(key=height)


@pytest.fixture(scope="session", autouse=True)
def own_graph_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Exported graphs go to a folder of this run: the tests neither use nor fill the user's own."""
    folder = tmp_path_factory.mktemp("graphs")
    before = os.environ.get("IMGSEARCH_CACHE")
    os.environ["IMGSEARCH_CACHE"] = str(folder)
    yield folder
    os.environ.pop("IMGSEARCH_CACHE")
    if before is not None:
        os.environ["IMGSEARCH_CACHE"] = before


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one session of a run: two slots, few partitions, and a catalog that forgets."""
    from imgsearch.lake.session import build_session
    from imgsearch.short_jobs import SETTINGS

    interpreted = {key.replace(".", "__"): value for key, value in SETTINGS.items() if key.startswith("spark.sql.")}
    session = build_session(
        "imgsearch tests",
        **interpreted,
        spark__master="local[2]",
        spark__driver__memory="2g",
        spark__sql__shuffle__partitions="2",
        spark__sql__warehouse__dir=str(tmp_path_factory.mktemp("catalog")),
        spark__sql__catalogImplementation="in-memory",
        spark__ui__enabled="false",
        spark__ui__showConsoleProgress="false",
        spark__databricks__delta__snapshotPartitions="1",
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder that costs nothing: 16 x 16 pixels, one random matrix, 24 dimensions. A name for ``--encoder``."""
    return write_tiny(tmp_path_factory.mktemp("encoder") / "tiny.onnx", seed=0)


@pytest.fixture(scope="session")
def other_tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another encoder, of the same shape."""
    return write_tiny(tmp_path_factory.mktemp("encoder") / "other.onnx", seed=1)


Draw = Callable[..., Path]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """``draw(path, kind=0, visit=0)``: a picture of one of some kinds, as PNG; pictures of a kind look alike."""
    from PIL import Image

    def write(path: Path, kind: int = 0, visit: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
        base = np.random.default_rng(kind).integers(0, 256, (5, 5, 3)).astype(np.float64)
        noise = np.random.default_rng((kind + 1) * 10_000 + visit).normal(0, 6, (5, 5, 3))
        pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR).save(path)
        return path

    return write
