"""A job's exit codes and what it says, with no Spark behind it; and the launcher's answers before Spark starts."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
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


class FakeWatch:
    """Sees nothing wrong, until it is told to."""

    verdict: str | None = None

    def __init__(self, spark: object) -> None:
        pass

    def __enter__(self) -> FakeWatch:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    fake = FakeSession()
    monkeypatch.setattr("imgsearch.lake.session.build_session", lambda *a, **k: fake)
    monkeypatch.setattr("imgsearch.lake.session.describe", lambda spark: "Spark of a test")
    monkeypatch.setattr("imgsearch.lake.session.is_running", lambda: False)
    monkeypatch.setattr("imgsearch.lake.waiting.ExecutorWatch", FakeWatch)
    monkeypatch.setattr("imgsearch.job._stop_by_signals", lambda: None)
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
    assert said.out.splitlines() == [
        "search: Spark of a test",
        "search: 1,200 in, 1,199 out, 1 quarantined, 2.0 s, 600 rows/s  top_k=10",
        "  one is damaged",
    ]
    assert said.err == ""
    assert asked == [SearchConfig(warehouse="w", queries="q")]
    assert session.stopped == 1


def test_anothers_session_is_not_stopped(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgsearch.lake.session.is_running", lambda: True)
    assert run(monkeypatch, lambda spark, config: RunSummary("search", 1, 1, 0, 1.0)) == 0
    assert session.stopped == 0


def test_a_mistake_is_2_and_one_line(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise UserError("there is no\ntable 'vectors'")

    assert run(monkeypatch, work) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("search: Spark of a test\n", "imgsearch: there is no table 'vectors'\n")


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
    assert "fault: KeyError (the whole" in said
    Path(said.split("the whole trace: ")[1].rstrip(")\n")).unlink()


def test_a_fault_that_the_user_can_mend_is_a_mistake(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise OSError(28, "No space left on device", "/w/matches.csv")

    assert run(monkeypatch, work) == 2
    said = capsys.readouterr().err
    assert said.startswith("imgsearch: search: no space left on device (/w/matches.csv); make room")
    assert said.count("\n") == 1


def test_what_the_watch_says_is_told(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        monkeypatch.setattr(FakeWatch, "verdict", "no executor came in 60 s")
        raise RuntimeError("Job 0 cancelled")

    assert run(monkeypatch, work) == 2
    assert capsys.readouterr().err == "imgsearch: no executor came in 60 s\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_job_in_one_line(
    number: int, code: int, session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        os.kill(os.getpid(), number)
        time.sleep(60)
        raise AssertionError("the signal was not seen")

    monkeypatch.undo()
    for target, value in (("session.build_session", lambda *a: session), ("session.describe", lambda spark: "Spark")):
        monkeypatch.setattr(f"imgsearch.lake.{target}", value)
    monkeypatch.setattr("imgsearch.lake.waiting.ExecutorWatch", FakeWatch)
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert run(monkeypatch, work) == code
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
    assert capsys.readouterr().err == "search: stopped; what was committed stays, the same command goes on from there\n"


def test_a_signal_that_ends_the_jvm_too_is_a_stop(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C goes to the JVM as well: Py4J logs its loss on the root logger, and what cleans up fails on it."""

    def work(spark: object, config: SearchConfig) -> RunSummary:
        try:
            raise job.Stopped(130)
        finally:
            try:
                raise ConnectionResetError(104, "Connection reset by peer")
            except ConnectionResetError as e:
                record = logging.LogRecord("root", logging.ERROR, "py4j/java_gateway.py", 1, "lost", None, None)
                logging.getLogger().handle(record)
                raise RuntimeError("An error occurred while calling o12.setCallSite") from e

    assert run(monkeypatch, work) == 130
    assert capsys.readouterr().err == "search: stopped; what was committed stays, the same command goes on from there\n"


def test_a_signal_while_a_fault_is_told_is_a_stop(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class InterruptedTextError(Exception):
        def __str__(self) -> str:
            raise job.Stopped(143)

    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise InterruptedTextError

    assert run(monkeypatch, work) == 143
    assert capsys.readouterr().err == "search: stopped; what was committed stays, the same command goes on from there\n"


def test_spark_stopped_from_outside_is_143(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(spark: object, config: SearchConfig) -> RunSummary:
        raise RuntimeError("Job 3 cancelled because SparkContext was shut down")

    assert run(monkeypatch, work) == 143
    assert capsys.readouterr().err.startswith("search: stopped from outside; ")


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
        (["sarch"], "there is no job 'sarch' (did you mean 'search'?); the jobs are: "),
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


def test_the_launcher_asks_any_python(tmp_path: Path) -> None:
    """A machine's own Python has no pyspark, and needs none to find out that Spark is wanted."""
    for argv, code in ((["--version"], job.WANTS_SPARK), (["--help"], 0), (["sarch"], 2)):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, sys.argv.pop(1)); "
             "import runpy; sys.argv[0] = 'x'; runpy.run_module('imgsearch.launcher', run_name='__main__')",
             str(ROOT), *argv], capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


def test_no_java_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "images" / "_delta_log").mkdir(parents=True)
    done = subprocess.run(
        ["/bin/bash", ROOT / "spark-submit.sh", "drop", "--warehouse", tmp_path, "--encoder", "x"],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JAVA_HOME": str(tmp_path)},
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
