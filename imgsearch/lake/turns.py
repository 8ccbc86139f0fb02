"""Writers of one table on one machine take turns, by ``flock``: Spark's and delta-rs's alike."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.05
QUIET_SECONDS = 10.0


@contextmanager
def turn(lock: Path | None, table: str) -> Iterator[None]:
    """Wait for this writer's turn at ``lock``; ``None``: the filesystem keeps two writers apart.

    A process that ends, however it ends, gives its turn up. ``table``: its name, for people.
    """
    if lock is None:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _wait(handle, table)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, table: str) -> None:
    start, reported = time.monotonic(), False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not reported and time.monotonic() - start > QUIET_SECONDS:
                print(f"waiting for another run that is writing the table '{table}'", file=sys.stderr, flush=True)
                reported = True
            time.sleep(POLL)
