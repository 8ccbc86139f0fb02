"""Exported graphs kept between runs, one file an encoder, so that a warm start needs no torch."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def graph_dir() -> Path:
    """``$IMGSEARCH_CACHE``, else ``$XDG_CACHE_HOME/imgsearch/graphs``, else ``~/.cache/imgsearch/graphs``."""
    if named := os.environ.get("IMGSEARCH_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgsearch" / "graphs"


def cached_graph(name: str, export: Callable[[], bytes], cache_dir: Path | None = None) -> bytes:
    """The graph called ``name`` (an encoder_id): read from ``cache_dir``, or made by ``export`` and kept there.

    The file appears whole or not at all, so concurrent jobs may share the directory. Where it cannot be used (a
    container without a home), one line on stderr says so and nothing is kept. Raises whatever ``export`` raises.
    """
    path = (cache_dir or graph_dir()) / f"{name}.graph"
    try:
        return path.read_bytes()
    except OSError:  # not there, or not to be read: made again
        pass
    graph = export()
    try:
        _write(path, graph)
    except OSError as error:
        print(
            f"imgsearch: the network's graph is not kept in {path.parent} ({error.strerror}), so the next run makes it "
            "again; set IMGSEARCH_CACHE to another folder",
            file=sys.stderr,
            flush=True,
        )
    return graph


def _write(path: Path, graph: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(graph)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
