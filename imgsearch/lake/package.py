"""The package as one zip, for executors without the driver's files: ``python -m imgsearch.lake.package OUT.zip``."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

#: Folders and files of an installation that are no part of the package.
LEFT_OUT = ("__pycache__", ".pyc", ".nbi", ".nbc")


def write_package(out: Path) -> Path:
    """Write ``imgsearch/``, code and data, as a zip that Python can import from: equal package, equal file."""
    part = out.with_name(f"{out.name}.{os.getpid()}")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in package_files():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    part.replace(out)
    return out


def package_files() -> list[tuple[str, bytes]]:
    """Every file of the package, (``imgsearch/…`` and content) by name, from a folder, a wheel or a zip."""
    return sorted(_walk(files("imgsearch"), "imgsearch"))


@cache
def code_id() -> str:
    """16 hex digits of the sha-256 over all files of the package: what a driver and its executors must agree in."""
    digest = hashlib.sha256()
    for name, content in package_files():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _walk(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.name.endswith(LEFT_OUT):
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{name}/{entry.name}")
        else:
            yield f"{name}/{entry.name}", entry.read_bytes()


if __name__ == "__main__":
    write_package(Path(sys.argv[1]))
