"""Work on one file in a child process: whatever it does to its process costs that file, not the worker.

The child is forked, so it has the parent's data without a copy, and ends after one result. It may use ``seconds`` of
CPU time and ``memory`` bytes beside what the worker holds already. A fork costs some 5 ms, so this is for the few
files that may need it: large ones, and all of a task that is tried again because its worker was lost.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from imgsearch.errors import ImageError

Result = TypeVar("Result")

KILLED_WORKER: Final = "killed_worker"
TIMEOUT: Final = "timeout"
OUT_OF_MEMORY: Final = "out_of_memory"
WALL: Final = 10  # a child may last this many times its CPU seconds by the clock: others use the machine too
OUT_OF_TIME = (signal.SIGPROF, signal.SIGXCPU)

# Python 3.12 and later warn of any fork with threads; the child here only reads, decodes and writes to its pipe.
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork.*", category=DeprecationWarning)

_in_child = False


def isolated(work: Callable[[], Result], seconds: float, memory: int) -> Result:
    """What ``work`` returns (it is pickled), computed in a child process.

    Raises the ``ImageError`` that ``work`` raises, and ``ImageError`` with the reason ``timeout`` (more than
    ``seconds`` of CPU time), ``out_of_memory`` (a ``MemoryError``) or ``killed_worker`` (the process ended without a
    result: a crash, or killed by the system for its memory). Any other exception of ``work`` becomes a
    ``RuntimeError``. A call inside such a child runs in it.
    """
    if _in_child:
        return work()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run_child(work, writer, seconds, memory)
    os.close(writer)
    finished = False
    try:
        answer, finished = _read_all(reader, time.monotonic() + WALL * seconds)
    finally:
        os.close(reader)
        if not finished:
            os.kill(pid, signal.SIGKILL)
        status = _wait(pid)
    if not finished:
        raise _timeout(seconds)
    value: Result = _result(answer, status, seconds)
    return value


def _result(answer: bytes, status: int, seconds: float) -> Any:
    try:
        value, refusal, error = pickle.loads(answer)  # noqa: S301 - from a child of this process
    except (EOFError, pickle.UnpicklingError):  # it ended before it had answered
        raise _ended(status, seconds) from None
    if refusal is not None:
        raise ImageError(*refusal)
    if error is not None:
        raise error
    return value


def _ended(status: int, seconds: float) -> ImageError:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in OUT_OF_TIME:
        return _timeout(seconds)
    if os.WIFSIGNALED(status):
        how = f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
        if os.WTERMSIG(status) == signal.SIGKILL:
            how += ", as the system does when memory runs out"
    else:
        how = f"ended by itself with exit code {os.WEXITSTATUS(status)}"
    return ImageError(KILLED_WORKER, f"the process that read the file {how}")


def _timeout(seconds: float) -> ImageError:
    return ImageError(TIMEOUT, f"not decoded within {seconds:g} s")


def _run_child(work: Callable[[], object], writer: int, seconds: float, memory: int) -> NoReturn:
    """Never returns: nothing of the parent's (its sockets, its exit handlers) is touched."""
    global _in_child
    _in_child = True
    code = 1
    try:
        _limit(seconds, memory)
        answer = _answer(work, memory)
        signal.setitimer(signal.ITIMER_PROF, 0)
        view = memoryview(answer)
        while view:
            view = view[os.write(writer, view) :]
        code = 0
    finally:
        os._exit(code)


def _answer(work: Callable[[], object], memory: int) -> bytes:
    """(value, (reason, detail) of an ``ImageError``, any other exception), pickled."""
    try:
        return pickle.dumps((work(), None, None), protocol=5)
    except MemoryError:
        too_little = f"it does not fit into the {memory / 1e6:,.0f} MB that one file may fill"
        return pickle.dumps((None, (OUT_OF_MEMORY, too_little), None))
    except ImageError as error:
        return pickle.dumps((None, (error.reason, error.detail), None))
    except Exception as error:
        return pickle.dumps((None, None, RuntimeError(f"{type(error).__name__}: {error}")))


def _limit(seconds: float, memory: int) -> None:
    faulthandler.disable()  # a crash is told by the parent
    for number in (*OUT_OF_TIME, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _die_with_parent()
    with contextlib.suppress(OSError):  # if the system must kill one for memory, let it be this one
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _die_with_parent() -> None:
    """Linux: SIGKILL to this process when the one that made it ends (``PR_SET_PDEATHSIG`` is 1)."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))


def _read_all(reader: int, deadline: float) -> tuple[bytes, bool]:
    """What is in the pipe; and whether its end was read before ``deadline`` (by ``time.monotonic``)."""
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return b"".join(parts), False
        part = os.read(reader, 1 << 20)
        if not part:
            return b"".join(parts), True
        parts.append(part)


def _wait(pid: int) -> int:
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:  # whoever ignores SIGCHLD is not told how it ended
        return 0
