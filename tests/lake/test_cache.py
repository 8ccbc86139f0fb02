"""The cache of exported graphs: made once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgsearch.lake.cache import cached_graph, graph_dir


def test_a_graph_is_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def export() -> bytes:
        calls.append("export")
        return b"graph"

    folder = tmp_path / "new" / "graphs"
    assert cached_graph("lite0-1", export, folder) == cached_graph("lite0-1", export, folder) == b"graph"
    assert calls == ["export"]
    assert [path.name for path in folder.iterdir()] == ["lite0-1.graph"]
    monkeypatch.setenv("IMGSEARCH_CACHE", str(folder))
    assert graph_dir() == folder
    assert cached_graph("lite0-1", export) == b"graph"


def test_a_folder_that_cannot_be_written_costs_the_next_run_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container may have no home. The job goes on."""
    (tmp_path / "file").touch()
    assert cached_graph("lite0-1", lambda: b"graph", tmp_path / "file") == b"graph"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(tmp_path / "file") in said
    assert "IMGSEARCH_CACHE" in said


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    def export() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached_graph("lite0-1", export, tmp_path)
    assert not list(tmp_path.iterdir())
