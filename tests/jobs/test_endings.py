"""How a job ends that cannot go on: no executor, Ctrl-C, SIGTERM; each with one line and the right exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {**{k: v for k, v in os.environ.items() if k not in ("MASTER", "SPARK_HOME")}, "SPARK_LOCAL_IP": "127.0.0.1"}

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def idle_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A standalone master without workers: an application on it waits."""
    spark_class = next((ROOT / ".venv" / "lib").glob("python3*/site-packages/pyspark/bin/spark-class"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    log = tmp_path_factory.mktemp("master") / "log"
    with log.open("w") as file:
        master = subprocess.Popen(
            [str(spark_class), "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port),
             "--webui-port", "0"],
            stdout=file, stderr=file, env=ENVIRON | {"SPARK_HOME": str(spark_class.parents[1])},
        )  # fmt: skip
    try:
        until(lambda: answers(port), log.read_text)
        yield f"spark://127.0.0.1:{port}"
    finally:
        master.terminate()
        master.wait(30)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(is_so: Callable[[], bool], log: Callable[[], str], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, log()
        time.sleep(0.2)


def start(folder: Path, master: str, wait: int) -> subprocess.Popen[str]:
    """An ingest that never gets a core, in a process group of its own, its output in files."""
    (folder / "in").mkdir()
    (folder / "in" / "a.jpg").write_bytes(b"no picture")
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        return subprocess.Popen(
            [str(ROOT / "spark-submit.sh"), "--master", master, "--conf", f"spark.imgsearch.executorWait={wait}",
             "ingest", "--input", str(folder / "in"), "--warehouse", str(folder / "w")],
            stdout=out, stderr=err, stdin=subprocess.DEVNULL, text=True, env=ENVIRON, start_new_session=True,
        )  # fmt: skip


def test_no_executor_is_said_after_a_while(idle_master: str, tmp_path: Path) -> None:
    job = start(tmp_path, idle_master, wait=3)
    assert job.wait(900) == 2
    said = (tmp_path / "err").read_text()
    assert said.startswith(f"imgsearch: --master {idle_master}: no executor came in 3 s; ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_line(number: signal.Signals, idle_master: str, tmp_path: Path) -> None:
    job = start(tmp_path, idle_master, wait=600)
    until(lambda: "ingest: Spark " in (tmp_path / "out").read_text(), (tmp_path / "err").read_text)
    time.sleep(2)  # into the first stage
    if number == signal.SIGINT:
        os.killpg(job.pid, number)  # a terminal's Ctrl-C goes to all
    else:
        job.send_signal(number)  # an orchestrator's goes to the one it started
    assert job.wait(600) == 128 + number
    until(lambda: not group_members(job.pid), lambda: str(group_members(job.pid)))
    said = (tmp_path / "err").read_text()
    assert said.startswith("ingest: stopped"), said
    assert "the same command goes on from there" in said
    assert said.count("\n") == 1, said


def group_members(group: int) -> list[str]:
    """Processes of a process group that still run."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _, its_group = rest.split()[:3]
        if int(its_group) == group and state != "Z":
            members.append(name)
    return members
