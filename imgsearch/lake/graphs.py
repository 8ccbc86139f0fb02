"""Exported graphs kept between runs, one file an encoder, so that a warm start needs no torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from imgsearch.core.encoder import Encoder
from imgsearch.errors import UserError


def graph_dir() -> Path:
    """``$IMGSEARCH_CACHE``, else ``$XDG_CACHE_HOME/imgsearch/graphs``, else ``~/.cache/imgsearch/graphs``."""
    if named := os.environ.get("IMGSEARCH_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgsearch" / "graphs"


def cached_graph(encoder: Encoder, cache_dir: Path | None = None) -> bytes:
    """The encoder's graph: read from ``cache_dir``, or exported (which imports torch) and kept there.

    The file appears whole or not at all, so concurrent jobs may share the directory. Raises ``UserError`` when the
    directory cannot be written, or the network does not export.
    """
    path = (cache_dir or graph_dir()) / f"{encoder.encoder_id}.{'pt2' if encoder.runtime == 'torch' else 'onnx'}"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(f"cached graph {path}: {error.strerror}; set IMGSEARCH_CACHE to another folder") from None
    from imgsearch.core.onnx_export import export_graph

    graph = export_graph(encoder)
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
