"""The notebook in ``examples/`` is run whole: what it shows is what it says."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
pytestmark = pytest.mark.spark


def test_from_a_folder_to_clusters_and_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the notebook makes its folder; nothing is left behind
    notebook = nbformat.read(EXAMPLES / "folder_to_matches.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    NotebookClient(notebook, timeout=540, resources={"metadata": {"path": str(tmp_path)}}).execute()
    nbformat.write(notebook, tmp_path / "run.ipynb")
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert re.search(r"ingest: 25 in, 2[45] out", said)
    assert re.search(r"cluster: 24 in, 24 out", said)
    pages = [output.data["text/html"] for output in outputs if output.output_type == "execute_result"]
    quarantine, clusters, matches, grid, own = pages
    assert quarantine.count("damaged.jpg") == 1
    assert clusters.count("<td>8</td>") == 3
    for kind in ("gear", "plate", "pipe"):
        rows = [row for row in matches.split("<tr") if f"new-{kind}.jpg" in row]
        assert len(rows) == 4
        assert all(f"<td>{kind}-" in row for row in rows)
    assert grid.count("data:image/jpeg;base64,") == 3 * 5
    assert own.count("<tr>") == 6
