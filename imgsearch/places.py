"""What a place that the user names is: a URI, a glob, a name in a catalog, or a local path."""

from __future__ import annotations

import re
from pathlib import Path

SCHEME = re.compile(r"^(?!file:)[A-Za-z][\w+.-]*:/")
GLOB = re.compile(r"[*?\[{]")
CATALOG_NAME = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")


def absolute(path: str) -> str:
    """A URI as it is; a local path made absolute, since executors and later runs stand in other folders."""
    if re.match(r"^[A-Za-z][\w+.-]*:/", path):
        return path.rstrip("/")
    return str(Path(path).expanduser().absolute())


def local_path(place: str) -> Path | None:
    """The local path that ``place`` means; ``None`` for a URI.

    >>> local_path("file:///a/b"), local_path("s3a://a/b")
    (PosixPath('/a/b'), None)
    """
    if SCHEME.match(place):
        return None
    return Path(place.removeprefix("file://").removeprefix("file:")).expanduser()
