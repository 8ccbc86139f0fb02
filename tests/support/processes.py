"""Daemons of a test bed: started with their output in a file, awaited, and ended with the process that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Daemon:
    """A process of its own session. It is killed when the test process dies, however that dies."""

    def __init__(
        self,
        argv: Sequence[object],
        log: Path,
        env: Mapping[str, str],
        cwd: str | Path = "/",
        user: int | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(env), cwd=cwd,
                user=user, group=user, extra_groups=[] if user is not None else None, umask=0,
                start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip

    def wait_for(self, ready: Callable[[], bool], seconds: float = 300) -> Daemon:
        """Wait until ``ready()``. Raises ``RuntimeError`` with the end of the log where the process ends before."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                state = "not ready" if self.process.poll() is None else f"ended with {self.process.returncode}"
                raise RuntimeError(f"{self.process.args} {state}:\n{self.tail()}")
            time.sleep(0.2)
        return self

    def has_said(self, text: str) -> bool:
        """Whether the log holds ``text``."""
        return text in self.log.read_text(errors="replace")

    def tail(self, n: int = 3000) -> str:
        """The last ``n`` characters of the log."""
        return self.log.read_text(errors="replace")[-n:]

    def stop(self) -> None:
        """End it and what it started in its session: asked first, killed after ten seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                break


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
