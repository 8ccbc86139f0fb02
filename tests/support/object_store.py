"""S3's protocol on 127.0.0.1, by moto's server: it keeps objects in memory, and forgets them when it ends.

What it leaves out of S3: signatures are not checked, nothing is ever slow, throttled or refused, there is one node, and
a key with a line feed answers 404.
What it has and the tests use: listing in pages, multipart uploads, etags, conditional writes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.jars import ROOT, bring
from support.processes import Daemon, free_port, is_open

BUCKET = "lake"
REQUIREMENTS = ROOT / "tests" / "cluster" / "s3-server.txt"


@dataclass(frozen=True)
class ObjectStore:
    """``uri``: s3a://BUCKET. ``jars``: of Hadoop's client. ``log``: a line a request."""

    uri: str
    endpoint: str
    jars: tuple[Path, ...]
    log: Path

    @property
    def hadoop(self) -> dict[str, str]:
        """What Hadoop's client has to know."""
        return {
            "fs.s3a.endpoint": self.endpoint, "fs.s3a.endpoint.region": "us-east-1", "fs.s3a.path.style.access": "true",
            "fs.s3a.access.key": "any", "fs.s3a.secret.key": "any",
        }  # fmt: skip

    @property
    def options(self) -> list[str]:
        """What spark-submit has to be given."""
        conf = [word for name, value in self.hadoop.items() for word in ("--conf", f"spark.hadoop.{name}={value}")]
        return ["--jars", ",".join(map(str, self.jars)), *conf]

    def requests(self) -> list[str]:
        """``METHOD /path`` of every request so far."""
        lines = self.log.read_text(errors="replace").splitlines()
        lines = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
        return [line.split('"')[1].rsplit(" ", 1)[0] for line in lines if '"' in line]


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """A server with one empty bucket."""
    jars, server = bring("s3"), _bring_server()
    port = free_port()
    log = folder / "s3.log"
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    daemon = Daemon(argv, log, {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(server)}, folder)
    try:
        daemon.wait_for(lambda: is_open(port))
        endpoint = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=30).close()
        yield ObjectStore(f"s3a://{BUCKET}", endpoint, tuple(jars), log)
    finally:
        daemon.stop()


def _bring_server() -> Path:
    """The folder with moto and what it needs, beside the environment of ``uv.lock`` and not in it."""
    name = f"s3-server-{sys.version_info[0]}.{sys.version_info[1]}-{zlib.crc32(REQUIREMENTS.read_bytes()):08x}"
    folder = ROOT / ".cache" / name
    if not (folder / ".complete").exists():
        uv = shutil.which("uv") or next(map(str, (ROOT / ".cache").glob("uv-*/bin/uv")), None)
        if uv is None:
            pytest.skip("there is no uv on PATH and none in .cache: `bash setup.sh dev` brings it")
        done = subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder, "-r", REQUIREMENTS],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"uv could not bring the S3 server from PyPI: {done.stderr[-500:]}")
        (folder / ".complete").touch()
    return folder
