"""Exported graphs kept between runs, one file an encoder, so that a warm start needs no torch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from imgsearch.errors import UserError


def graph_dir() -> Path:
    """``$IMGSEARCH_CACHE``, else ``$XDG_CACHE_HOME/imgsearch/graphs``, else ``~/.cache/imgsearch/graphs``."""
    if named := os.environ.get("IMGSEARCH_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgsearch" / "graphs"


def cached_graph(name: str, export: Callable[[], bytes], cache_dir: Path | None = None) -> bytes:
    """The graph called ``name`` (an encoder_id): read from ``cache_dir``, or made by ``export`` and kept there.

    The file appears whole or not at all, so concurrent jobs may share the directory. Raises ``UserError`` when the
    directory cannot be written, and whatever ``export`` raises.
    """
    path = (cache_dir or graph_dir()) / f"{name}.graph"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(f"cached graph {path}: {error.strerror}; set IMGSEARCH_CACHE to another folder") from None
    graph = export()
    _write(path, graph)
    return graph


def _write(path: Path, graph: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(graph)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise UserError(
            f"cannot keep a graph in {path.parent} ({error.strerror}); set IMGSEARCH_CACHE to another folder"
        ) from None
