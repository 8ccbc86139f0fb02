"""This machine and this process, as the launcher finds them: memory, a checkout, a folder for caches, stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from imgsearch.lake.settings import CHECKOUT

#: The line that every JVM of Spark begins with, and nobody needs.
JVM_GREETING = b"WARNING: Using incubator modules: jdk.incubator.vector\n"


def megabytes() -> int:
    """MiB of memory that this process may use: the machine's, or its container's limit."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        total = 8192
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit) >> 20) if limit.isdigit() else total


def is_checkout() -> bool:
    """Whether this package stands in its checkout, not in an environment's site-packages."""
    return (CHECKOUT / "jobs" / "pipeline.py").is_file()


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where the package's zip is kept: the checkout's ``.cache``, else the user's."""
    if is_checkout():
        folder = CHECKOUT / ".cache"
    else:
        folder = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgsearch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def drop_greeting() -> None:
    """Put a small process behind stderr that leaves out ``JVM_GREETING``; the rest passes as it comes."""
    sys.stderr.flush()
    read, write = os.pipe()
    if os.fork():
        os.close(read)
        os.dup2(write, 2)
        os.close(write)
        return
    os.setpgid(0, 0)  # Ctrl-C is for the job; its last lines pass here
    os.close(write)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for line in _unbuffered_lines(read):
        if line == JVM_GREETING:
            os.dup2(read, 0)
            os.dup2(2, 1)
            os.execvp("cat", ["cat"])
        os.write(2, line)
    os._exit(0)


def _unbuffered_lines(descriptor: int) -> Iterator[bytes]:
    """Lines, byte by byte, so that nothing behind the last one is taken."""
    line = bytearray()
    while byte := os.read(descriptor, 1):
        line += byte
        if byte == b"\n":
            yield bytes(line)
            line.clear()
    if line:
        yield bytes(line)
