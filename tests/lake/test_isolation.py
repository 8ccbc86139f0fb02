"""Work in a child process: its result, its errors, and every way in which it can end without one."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imgsearch.errors import ImageError
from imgsearch.lake.isolation import WALL, isolated

MB = 1 << 20


def reason_of(work: Callable[[], object], seconds: float = 5.0, memory: int = 64 * MB) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        isolated(work, seconds, memory)
    return caught.value.reason, caught.value.detail


def test_a_result_comes_back_and_nothing_else_changes() -> None:
    large = np.arange(300_000)
    seen: list[int] = []

    def work() -> tuple[int, np.ndarray]:
        seen.append(1)
        return os.getpid(), large * 2

    pid, doubled = isolated(work, 5, 64 * MB)
    assert pid != os.getpid()
    assert not seen
    np.testing.assert_array_equal(doubled, large * 2)
    with pytest.raises(ProcessLookupError):  # it has been waited for
        os.kill(pid, 0)


def test_errors_come_back() -> None:
    def refuse() -> None:
        raise ImageError("truncated", "half a file")

    def fail() -> None:
        raise KeyError("column")

    assert reason_of(refuse) == ("truncated", "half a file")
    with pytest.raises(RuntimeError, match="KeyError: 'column'"):
        isolated(fail, 5, 64 * MB)


@pytest.mark.parametrize(
    ("crash", "said"),
    [
        (lambda: os._exit(3), "ended by itself with exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL, as the system does when memory runs out"),
        (lambda: ctypes.string_at(0), "SIGSEGV"),
        (os.abort, "SIGABRT"),
    ],
    ids=["exit", "kill", "segfault", "abort"],
)
def test_a_crash_is_an_error(crash: Callable[[], object], said: str) -> None:
    reason, detail = reason_of(crash)
    assert reason == "killed_worker"
    assert said in detail


def test_memory_and_time_are_bounded() -> None:
    def busy() -> None:
        while True:
            pass

    assert reason_of(lambda: bytearray(200 * MB))[0] == "out_of_memory"
    assert len(isolated(lambda: bytearray(200 * MB)[:3], 5, 300 * MB)) == 3
    assert reason_of(busy, seconds=0.1) == ("timeout", "not decoded within 0.1 s")
    started = time.monotonic()
    assert reason_of(lambda: time.sleep(60), seconds=0.05)[0] == "timeout"
    assert time.monotonic() - started < 30 * WALL * 0.05  # by the clock


def test_a_child_does_not_make_children() -> None:
    assert isolated(lambda: isolated(os.getppid, 5, 64 * MB), 5, 64 * MB) == os.getpid()


def test_no_file_descriptor_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        isolated(os.getpid, 5, 64 * MB)
        reason_of(lambda: os._exit(1))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
