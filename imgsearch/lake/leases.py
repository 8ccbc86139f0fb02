"""Leases: one run at a time for work that no second run may do beside it, whichever machines write the warehouse.

A lease is a series of numbered files, ``{name}.{number}``; the highest number has it. Taking it is creating the next
number, which only one can do (as a commit to a Delta log). Its holder writes the file anew every ``HEARTBEAT`` seconds;
one that was not written for ``EXPIRY`` seconds is free, and so is one whose process is dead, where that can be seen: on
the same machine, at once. Times are those of the filesystem, so that clocks need not agree.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from imgsearch.errors import UserError
from imgsearch.lake.shared_files import SharedFolder

HEARTBEAT = 15.0
EXPIRY = 60.0
POLL = 0.25


@dataclass(frozen=True)
class Holder:
    """Who has a lease. ``machine`` tells machines and containers apart; ``started`` the processes with one number."""

    work: str
    host: str
    machine: str
    pid: int
    started: str
    since: str
    released: bool = False

    @classmethod
    def this_process(cls, work: str) -> Holder:
        """This process, from now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(work, socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()), now)

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """What a lease's file says; ``None`` where it is being written."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def encode(self) -> bytes:
        """The lease's file."""
        return json.dumps(asdict(self)).encode()

    def is_dead(self) -> bool:
        """Whether its process is seen to be gone; always false for one of another machine."""
        return bool(self.machine) and self.machine == _machine() and self.started != _started(self.pid)

    def __str__(self) -> str:
        return f"host {self.host}, pid {self.pid}, since {self.since}"


@dataclass
class Lease:
    """A lease that this process has."""

    folder: SharedFolder
    name: str
    number: int
    holder: Holder
    _renewed: float = field(default_factory=time.monotonic)
    _lost: bool = False

    def renew(self) -> None:
        """Say that its holder lives. A lease that another run has taken is noted as lost."""
        if self._lost or _newest(self.folder, self.name) != self.number:
            self._lost = True
            return
        self.folder.write(self.file, self.holder.encode())
        self._renewed = time.monotonic()

    def check(self) -> None:
        """Raise ``UserError`` where another run has taken it, as after this process stood still."""
        if not self._lost and time.monotonic() - self._renewed > EXPIRY / 2:
            self.renew()
        if self._lost:
            raise UserError(
                f"this run stood still for more than {EXPIRY:.0f} s and another took over its work ({self.name}); "
                "what was committed stays, run the same command again"
            )

    def release(self, *, forget: bool = False) -> None:
        """Give it back. ``forget``: nobody will ask for this name again, so its number need not be kept."""
        if forget:
            self.folder.remove(self.file)
        elif not self._lost:
            self.folder.write(self.file, Holder(**(asdict(self.holder) | {"released": True})).encode())

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}.{self.number:09d}"


_held: list[Lease] = []
_lock = threading.Lock()
_beating: threading.Thread | None = None


@contextmanager
def leased(folder: SharedFolder, name: str, work: str, wait_seconds: float = 0.0) -> Iterator[Lease]:
    """Hold the lease ``name`` while the block runs. Raises ``UserError`` where another run has it.

    ``work``: what the run does, in the words that a second run is told. ``wait_seconds``: how long to wait for it.
    """
    lease = take(folder, name, work, wait_seconds)
    try:
        yield lease
    finally:
        give_back(lease)


def take(folder: SharedFolder, name: str, work: str, wait_seconds: float = 0.0) -> Lease:
    """As ``leased``, until ``give_back``."""
    deadline = time.monotonic() + wait_seconds
    while True:
        outcome = _try(folder, name, work)
        if isinstance(outcome, Lease):
            _hold(outcome)
            return outcome
        if time.monotonic() >= deadline:
            raise UserError(
                f"another run is at work here: {outcome.work} ({outcome}); wait until it has ended and run the same "
                f"command again (the place of a run that was killed is free after {EXPIRY:.0f} s)"
            )
        time.sleep(POLL)


def give_back(lease: Lease, *, forget: bool = False) -> None:
    """End a lease that ``take`` gave."""
    with _lock:
        if lease in _held:
            _held.remove(lease)
    lease.release(forget=forget)


def check_held() -> None:
    """Raise ``UserError`` where a lease of this process was lost. To be called before a commit."""
    for lease in list(_held):
        lease.check()


def is_live(folder: SharedFolder, name: str) -> bool:
    """Whether a run has the lease ``name``."""
    number = _newest(folder, name)
    return number > 0 and _holder(folder, name, number) is not None


def _try(folder: SharedFolder, name: str, work: str) -> Lease | Holder:
    number = _newest(folder, name)
    if number and (holder := _holder(folder, name, number)) is not None:
        return holder
    lease = Lease(folder, name, number + 1, Holder.this_process(work))
    made = folder.create(lease.file, lease.holder.encode())
    newest = _newest(folder, name)
    if made and newest == lease.number:
        for old in _numbers(folder, name):
            if old < lease.number:
                folder.remove(f"{name}.{old:09d}")
        return lease
    if made:  # several runs came and went since the first look, so this number was free again
        folder.remove(lease.file)
    return _holder(folder, name, newest) or _UNKNOWN


def _holder(folder: SharedFolder, name: str, number: int) -> Holder | None:
    """Who has the lease with this number; ``None`` where it is free."""
    file = f"{name}.{number:09d}"
    data, written = folder.read(file), folder.modified(file)
    if data is None or written is None:
        return None
    holder = Holder.parse(data)
    if holder is not None and (holder.released or holder.is_dead()):
        return None
    return None if folder.now() - written > EXPIRY else holder or _UNKNOWN


def _numbers(folder: SharedFolder, name: str) -> list[int]:
    pattern = re.compile(re.escape(name) + r"\.(\d{9})")
    return [int(match[1]) for file in folder.names() if (match := pattern.fullmatch(file))]


def _newest(folder: SharedFolder, name: str) -> int:
    return max(_numbers(folder, name), default=0)


_UNKNOWN = Holder("a run that has just begun", "unknown", "", 0, "", "now")


def _hold(lease: Lease) -> None:
    global _beating
    with _lock:
        _held.append(lease)
        if _beating is None or not _beating.is_alive():
            _beating = threading.Thread(target=_beat, name="imgsearch-leases", daemon=True)
            _beating.start()


def _beat() -> None:
    while True:
        time.sleep(HEARTBEAT)
        for lease in list(_held):
            with suppress(Exception):  # the filesystem does not answer: `check` asks again before the next commit
                lease.renew()


@atexit.register
def _give_all_back() -> None:
    with ExitStack() as stack:
        for lease in list(_held):
            if lease.holder.pid == os.getpid():  # a fork has no part in its parent's leases
                stack.callback(_quietly, lease)


def _quietly(lease: Lease) -> None:
    try:
        give_back(lease)
    except Exception:  # the JVM is gone; a dead process has no lease
        return


def _machine() -> str:
    """This machine since it was booted, and this container on it; nothing where that cannot be told."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process of this machine began, in clock ticks since the boot; nothing for one that is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
