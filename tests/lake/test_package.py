"""The zip for executors: all of the package, the same bytes every time, and everything works from inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import imgsearch
from imgsearch.compiled import source_of
from imgsearch.lake.package import code_id, package_files, write_package

ROOT = Path(__file__).resolve().parent.parent.parent


def from_zip(package: Path, code: str, home: Path) -> str:
    """Run ``code`` with the zip as the only place of imgsearch; what it prints."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package), "HOME": str(home), "TMPDIR": str(home)}
    code = f"import imgsearch; assert '.zip' in imgsearch.__file__, imgsearch.__file__\n{code}"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_every_file_that_is_versioned(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_package(tmp_path / "imgsearch.zip")) as archive:
        names = set(archive.namelist())
    listed = subprocess.run(["git", "ls-files", "imgsearch"], cwd=ROOT, capture_output=True, text=True, check=False)
    versioned = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    assert versioned <= names
    assert {"imgsearch/report/templates/report.js", "imgsearch/conf/default.toml"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))]


def test_same_package_same_bytes(tmp_path: Path) -> None:
    one, two = (write_package(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert one == two


def test_data_is_read_from_inside_the_zip(tmp_path: Path) -> None:
    package = write_package(tmp_path / "imgsearch.zip")
    code = (
        "from imgsearch.lake.package import code_id; from imgsearch.encoders.quantization import pictures_sha256\n"
        "from imgsearch.report.page import _resource\n"
        "print(code_id(), pictures_sha256()[:8], len(_resource('report.js')) > 100)"
    )
    from imgsearch.encoders.quantization import pictures_sha256

    assert from_zip(package, code, tmp_path).split() == [code_id(), pictures_sha256()[:8], "True"]


def test_kernels_are_compiled_once_a_machine_from_the_zip(tmp_path: Path) -> None:
    package = write_package(tmp_path / "imgsearch.zip")
    code = (
        "import numpy as np; from imgsearch.topk import score\n"
        "rows = np.eye(3, 32, dtype=np.float32); print(score.paired_scores(rows, rows).tolist())\n"
        "print(sum(score._paired.stats.cache_hits.values()), score._paired.stats.cache_path)"
    )
    runs = [from_zip(package, code, tmp_path).split("\n") for _ in range(2)]
    assert [run[0] for run in runs] == ["[1.0, 1.0, 1.0]"] * 2
    assert [run[1].split()[0] for run in runs] == ["0", "1"]  # the second process compiles nothing
    assert runs[0][1].split()[1].startswith(str(tmp_path / ".cache" / "imgsearch" / "kernels"))


def test_machine_code_is_that_of_the_whole_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel holds the code of those it calls: a neighbour that changes makes it out of date."""
    folder = tmp_path / "kernels_of_a_test"
    folder.mkdir()
    for name in ("__init__.py", "caller.py", "called.py"):
        (folder / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_of("kernels_of_a_test.caller", str(folder / "caller.py"))
    (folder / "called.py").write_text("x = 2\n")
    source_of.cache_clear()
    assert source_of("kernels_of_a_test.caller", str(folder / "caller.py")) != before


def test_code_id_is_that_of_the_files() -> None:
    assert len(code_id()) == 16
    assert all(name.startswith("imgsearch/") for name, _ in package_files())


def test_version_is_pyprojects() -> None:
    assert imgsearch.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
