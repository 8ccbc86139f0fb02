"""A job's exit codes and what it says, with no Spark behind it; and the launcher's answers before Spark starts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imgsearch import job
from imgsearch.config import SearchConfig
from imgsearch.errors import UserError
from imgsearch.job import JOBS
from imgsearch.lake.runs import RunSummary

ROOT = Path(__file__).resolve().parent.parent
ARGV = ["--warehouse", "w", "--queries", "q"]


class FakeSession:
    """Counts how often it was stopped."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    fake = FakeSession()
    monkeypatch.setattr("imgsearch.lake.session.build_session", lambda *a, **k: fake)
    return fake


def run(monkeypatch: pytest.MonkeyPatch, work: Callable[..., Any], argv: list[str] | None = None) -> int:
    return job.run_job("search", ARGV if argv is None else argv, work)


def test_done_prints_the_summary_and_notes(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def work(spark: object, config: SearchConfig) -> RunSummary:
        asked.append(config)
        return RunSummary("search", 1200, 1199, 1, 2.0, {"top_k": "10"}, ("one is damaged",))

    assert run(monkeypatch, work) == 0
    said = capsys.readouterr()
    assert said.out == "search: 1,200 in, 1,199 out, 1 quarantined, 2.0 s, 600 rows/s  top_k=10\n  one is damaged\n"
    assert said.err == ""
    assert asked == [SearchConfig(warehouse="w", queries="q")]
    assert session.stopped == 1


def test_a_mistake_is_2_and_one_line(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise UserError("there is no\ntable 'vectors'")

    assert run(monkeypatch, work) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "imgsearch: there is no table 'vectors'\n")


def test_a_mistake_in_the_options_starts_no_spark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_session(*args: object, **kwargs: object) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr("imgsearch.lake.session.build_session", no_session)
    assert run(monkeypatch, lambda *a: None, [*ARGV, "--top-k", "0"]) == 2
    assert "--top-k 0" in capsys.readouterr().err


def test_a_fault_is_1_with_the_trace_in_a_file(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise ValueError("\n\nfirst line\nsecond line")

    assert run(monkeypatch, work) == 1
    said = capsys.readouterr().err
    assert said.startswith("search: fault: ValueError: first line (the whole trace: ")
    assert said.count("\n") == 1
    log = Path(said.split("the whole trace: ")[1].rstrip(")\n"))
    try:
        assert "raise ValueError" in log.read_text()
    finally:
        log.unlink()


def test_a_fault_without_words_has_its_name(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise KeyError

    assert run(monkeypatch, work) == 1
    said = capsys.readouterr().err
    assert "fault: KeyError: KeyError" in said
    Path(said.split("the whole trace: ")[1].rstrip(")\n")).unlink()


def test_interrupted_is_130(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise KeyboardInterrupt

    assert run(monkeypatch, work) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_help_is_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, lambda *a: None, ["--help"])
    assert stopped.value.code == 0
    assert "--top-k" in capsys.readouterr().out


def test_check_knows_good_from_bad(capsys: pytest.CaptureFixture[str]) -> None:
    assert job.answer(["check", "search", *ARGV]) == job.WANTS_SPARK
    assert job.answer(["check", "search", *ARGV, "--top-k", "x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_usage_has_one_line_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert job.answer(["help"]) == 0
    text = capsys.readouterr().out
    for name in JOBS:
        lines = [line for line in text.splitlines() if line.strip().startswith(name + " ")]
        assert len(lines) == 1
        assert len(lines[0]) > 30


def test_each_job_has_its_file_and_the_other_way_round() -> None:
    files = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert files == {*JOBS}
    for name in JOBS:
        assert f'main("{name}")' in (ROOT / "jobs" / f"{name}.py").read_text()


@pytest.mark.parametrize("name", JOBS)
def test_each_job_has_settings_and_work(name: str) -> None:
    assert callable(job._named(JOBS[name].run))
    if JOBS[name].config is not None:
        assert JOBS[name].settings().about


def launch(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "spark-submit.sh", *argv], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["search", *ARGV, "--top-k", "0"], "--top-k 0: must be between"),
        (["cluster", "--warehouse", "w", "--n-clusters", "none"], "--n-clusters none"),
        (["ingest", "--warehouse", "w"], "ingest needs --input"),
        (["sarch"], "there is no job 'sarch'; the jobs are: "),
        (["--master"], "spark-submit option --master needs a value"),
        (["--master", "local[1]", "embed", "--warehouse", "w", "--encodr", "x"], "did you mean '--encoder'?"),
    ],
)
def test_the_launcher_tells_mistakes_at_once(argv: list[str], said: str) -> None:
    done = launch(*argv)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_launchers_help() -> None:
    whole, one = launch("--help"), launch("search", "--help")
    assert (whole.returncode, one.returncode) == (0, 0)
    assert "pipeline" in whole.stdout
    assert "--top-k K" in one.stdout
    assert "(default 10)" in one.stdout


def test_no_java_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", ROOT / "spark-submit.sh", "ingest"], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "JAVA_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "imgsearch needs Java 17 or 21 (found: none in JAVA_HOME=" in done.stderr
    assert "apt-get install openjdk-17-jre-headless" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("version", "accepted"), [("1.8.0_392", False), ("11.0.2", False), ("21.0.1", True)])
def test_an_old_java_is_named(version: str, accepted: bool, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2023-10-17' >&2\n")
    java.chmod(0o755)
    done = subprocess.run(
        ["/bin/bash", "-c", f"source {ROOT}/setup.sh; check_java; echo $JAVA"],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", "JAVA_HOME": str(tmp_path)},
    )  # fmt: skip
    if accepted:
        assert (done.returncode, done.stdout.strip()) == (0, str(java))
    else:
        assert done.returncode == 2
        assert f"found: {version} at {java}" in done.stderr
