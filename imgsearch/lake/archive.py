"""The archive that executors get (``make package``): what it says of itself, and whether it fits.

A driver and its executors must run the same code on the same Python: functions travel by name. The driver looks before
it submits, a worker when it begins.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from imgsearch.errors import UserError
from imgsearch.lake.package import code_id

MANIFEST = "imgsearch.json"  # the archive's first file
CODE = "IMGSEARCH_CODE"  # in an executor's environment: the ``code_id`` of its driver
AGAIN = "make it again with `make package`"


class Manifest(NamedTuple):
    """What an archive was made of and for. ``glibc`` is the least that a worker's machine must have."""

    version: str
    code: str
    python: str
    system: str
    machine: str
    glibc: str

    def __str__(self) -> str:
        return f"imgsearch {self.version} ({self.code}), Python {self.python}, {self.system} {self.machine}"


def archive_name(version: str, group: str = "executor") -> str:
    """The file's name, for this Python and platform; ``version`` may be a glob. ``group``: ``executor`` or ``driver``.

    >>> archive_name("[0-9]*").startswith("imgsearch-[0-9]*-py3"), archive_name("1.0", "driver")[:21]
    (True, 'imgsearch-driver-1.0-')
    """
    tag = f"py{sys.version_info[0]}{sys.version_info[1]}-{platform.system().lower()}-{platform.machine()}"
    return f"imgsearch-{'driver-' if group == 'driver' else ''}{version}-{tag}.tar.gz"


def read_manifest(path: Path) -> Manifest:
    """The manifest of an archive file. Raises ``UserError`` where it has none."""
    try:
        with tarfile.open(path, "r:*") as archive:
            first = archive.next()
            content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
            if content is None:
                raise UserError(f"archive {path}: it is none of imgsearch's (no {MANIFEST} at its beginning); {AGAIN}")
            return Manifest(**json.load(content))
    except (OSError, EOFError, tarfile.TarError, ValueError, TypeError) as error:
        raise UserError(f"archive {path}: cannot be read ({error}); {AGAIN}") from None


def check_archive(path: Path) -> Manifest:
    """The manifest of an archive that fits this driver. Raises ``UserError`` for one that does not."""
    manifest = read_manifest(path)
    problem = misfit(manifest, code_id(), platform.python_version(), platform.system())
    if problem:
        raise UserError(f"archive {path}: {problem}; {AGAIN}")
    return manifest


def misfit(manifest: Manifest, code: str, python: str, system: str) -> str | None:
    """Why an archive does not fit a driver of this code and Python; ``None`` where it does.

    >>> misfit(Manifest("0.1.0", "ab", "3.11.7", "Linux", "x86_64", "2.36"), "ab", "3.12.1", "Linux")
    'it has Python 3.11, the driver has 3.12'
    >>> misfit(Manifest("0.1.0", "ab", "3.11.7", "Linux", "x86_64", "2.36"), "ab", "3.11.9", "Linux")
    """
    archive_python, driver_python = (".".join(version.split(".")[:2]) for version in (manifest.python, python))
    if archive_python != driver_python:
        return f"it has Python {archive_python}, the driver has {driver_python}"
    if manifest.system != system:
        return f"it is for {manifest.system}, this is {system}"
    if manifest.code != code:
        return f"it has other code of imgsearch ({manifest.version}, {manifest.code}) than the driver ({code})"
    return None


def check_worker(environ: Mapping[str, str] = os.environ, prefix: str = sys.prefix) -> None:
    """On a worker: raises ``UserError`` where its archive has other code than its driver said (``CODE``)."""
    path, code = Path(prefix, MANIFEST), environ.get(CODE)
    if code and path.is_file():
        manifest = Manifest(**json.loads(path.read_text()))
        if manifest.code != code:
            raise UserError(
                f"the worker's archive is of other code ({manifest}) than the driver ({code}); {AGAIN} and submit again"
            )
