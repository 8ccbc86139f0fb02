"""What a terminal shows while a job runs."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from imgsearch.lake import progress
from imgsearch.lake.progress import Progress, Steps, TaskProgress


class FakeContext:
    """Two stages at work, or none."""

    def __init__(self, stages: dict[int, tuple[int, int]]) -> None:
        self.stages = stages

    def statusTracker(self) -> Any:  # noqa: N802 - Spark's own name
        return SimpleNamespace(
            getActiveStageIds=lambda: list(self.stages),
            getStageInfo=lambda n: SimpleNamespace(numTasks=self.stages[n][1], numCompletedTasks=self.stages[n][0]),
        )

    def accumulator(self, value: int) -> Any:
        return SimpleNamespace(value=value)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGSEARCH_PROGRESS", "1")
    monkeypatch.setattr(Steps, "current", "")


def test_tasks_of_all_stages_at_work() -> None:
    context = FakeContext({3: (12, 40), 4: (0, 2)})
    line = TaskProgress(SimpleNamespace(sparkContext=context), "compress")  # type: ignore[arg-type]
    assert line.line().startswith("compress  12 of 42 tasks  ")
    Steps(("ingest", "compress"))("compress")
    assert line.line().startswith("[2/2] compress  12 of 42 tasks  ")
    context.stages = {}
    assert line.line() == ""


def test_a_jobs_own_counts() -> None:
    line = Progress(FakeContext({}), "embed", 200)  # type: ignore[arg-type]
    assert line.line().endswith("starting")
    line.done.value = 100
    assert line.line().startswith("embed  100 of 200  ")
    assert line.line().endswith(" left")
    line.done.value = 200
    assert line.line().endswith("writing")  # not "0 s left" while the rows are committed


def test_the_innermost_line_shows_and_nothing_stays(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        TaskProgress(SimpleNamespace(sparkContext=FakeContext({1: (1, 2)})), "pipeline"),
        Progress(FakeContext({}), "embed", 2),
    ):  # type: ignore[arg-type]
        deadline = time.monotonic() + 30
        said = ""
        while "embed" not in said and time.monotonic() < deadline:
            said += capsys.readouterr().err
            time.sleep(0.05)
    assert "embed  0 of 2" in said
    assert "pipeline" not in said
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_without_a_terminal_nothing_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMGSEARCH_PROGRESS")
    with TaskProgress(SimpleNamespace(sparkContext=FakeContext({1: (1, 2)})), "search") as line:  # type: ignore[arg-type]
        assert not line._thread.is_alive()
    Steps(("draw", "ingest"))("ingest")
    assert not progress._Line._shown
    assert capsys.readouterr() == ("[2/2] ingest\n", "")
