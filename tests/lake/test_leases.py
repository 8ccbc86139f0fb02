"""Leases: one has it, the next is told who; the place of the dead is free. Other processes are real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from imgsearch.errors import UserError
from imgsearch.lake import leases
from imgsearch.lake.leases import Holder, check_held, give_back, is_live, leased, take
from imgsearch.lake.shared_files import LocalFolder

TAKE = """
import sys, time
from pathlib import Path
from imgsearch.errors import UserError
from imgsearch.lake.leases import take
from imgsearch.lake.shared_files import LocalFolder
try:
    lease = take(LocalFolder(Path(sys.argv[1])), "x", "cluster")
    print("taken", lease.number, flush=True)
    time.sleep(float(sys.argv[2]))
except UserError as e:
    print(e, flush=True)
"""


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", TAKE, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_is_told_who_is_at_work(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "leases")
    first = start(folder.path, 60)
    assert line(first) == "taken 1"
    with pytest.raises(UserError, match=rf"another run is at work here: cluster \(host .*, pid {first.pid}, since 2"):
        take(folder, "x", "cluster")
    with leased(folder, "another name", "label"):
        assert is_live(folder, "another name")
    first.kill()
    first.wait()
    assert not is_live(folder, "x")
    with leased(folder, "x", "cluster") as lease:  # a dead process of this machine has nothing
        assert lease.number == 2
        second = start(folder.path, 60)
        assert f"pid {os.getpid()}" in line(second)
    assert not is_live(folder, "x")
    third = start(folder.path, 0)
    assert line(third) == "taken 3"
    assert third.wait() == second.wait() == 0
    assert sorted(folder.names()) == ["another name.000000001", "x.000000003"]


def test_of_many_that_start_together_one_has_it(tmp_path: Path) -> None:
    processes = [start(tmp_path, 30) for _ in range(6)]
    lines = [line(process) for process in processes]
    for process in processes:
        process.kill()
        process.wait()
    assert sum(text.startswith("taken") for text in lines) == 1, lines
    assert sum(text.startswith("another run is at work") for text in lines) == 5, lines


def test_one_may_wait(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    lease = take(folder, "x", "search")
    threading.Timer(0.6, give_back, [lease]).start()
    with leased(folder, "x", "search", wait_seconds=30) as second:
        assert second.number == 2


def elsewhere(folder: LocalFolder, name: str, number: int) -> Path:
    """A lease of another machine."""
    holder = asdict(Holder.this_process("cluster")) | {"machine": "another", "host": "node7", "pid": 1, "started": "1"}
    folder.write(f"{name}.{number:09d}", json.dumps(holder).encode())
    return folder.path / f"{name}.{number:09d}"


def test_a_lease_of_another_machine_ends_when_its_heart_stops(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    file = elsewhere(folder, "x", 4)
    with pytest.raises(UserError, match=r"cluster \(host node7, pid 1"):
        take(folder, "x", "cluster")
    past = time.time() - leases.EXPIRY - 1
    os.utime(file, (past, past))
    with leased(folder, "x", "cluster") as lease:
        assert lease.number == 5
    assert not file.exists()


def test_a_lease_without_text_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "x.000000001").touch()
    with pytest.raises(UserError, match="a run that has just begun"):
        take(LocalFolder(tmp_path), "x", "cluster")


def test_whoever_stood_still_is_stopped_before_its_next_commit(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    lease = take(folder, "x", "cluster")
    check_held()
    elsewhere(folder, "x", lease.number + 1)  # another machine took over meanwhile
    lease._renewed -= leases.EXPIRY
    with pytest.raises(UserError, match=r"another took over its work \(x\).*run the same command again"):
        check_held()
    give_back(lease)
    assert is_live(folder, "x")  # the other's lease is left alone
    check_held()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT", 0.05)
    monkeypatch.setattr(leases, "_beating", None)
    folder = LocalFolder(tmp_path)
    with leased(folder, "x", "cluster") as lease:
        before = folder.modified(lease.file)
        os.utime(tmp_path / lease.file, (0, 0))
        for _ in range(200):
            if (folder.modified(lease.file) or 0) >= (before or 0):
                break
            time.sleep(0.05)
        assert (folder.modified(lease.file) or 0) >= (before or 0)
