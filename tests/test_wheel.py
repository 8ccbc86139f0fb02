"""The wheel by itself: built, installed into a folder of its own, used with nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imgsearch.lake.package import code_id

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def uv() -> str:
    return subprocess.run(
        ["bash", "setup.sh", "uv"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([uv, "build", "--wheel", "--quiet", "--out-dir", str(folder)], cwd=ROOT, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(uv: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("site")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True)
    return folder


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(site), "PYTHONPATH": str(site)}
    return subprocess.run(command, env=environ, cwd=site, capture_output=True, text=True, timeout=300)


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        scripts = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {name.split("/")[0] for name in names} == {"imgsearch", "imgsearch_spark-0.1.0.dist-info"}
    for data in ("conf/default.toml", "conf/spark-defaults.conf", "report/templates/report.js"):
        assert f"imgsearch/{data}" in names
    assert "imgsearch = imgsearch.__main__:main" in scripts


def test_its_code_is_the_archives(site: Path) -> None:
    """A driver with the wheel and executors with the archive agree."""
    code = "import imgsearch; from imgsearch.lake.package import code_id; print(imgsearch.__file__, code_id())"
    file, code_of_wheel = run(site, sys.executable, "-P", "-c", code).stdout.split()
    assert file.startswith(str(site))
    assert code_of_wheel == code_id()


def test_its_command_answers_and_knows_what_it_lacks(site: Path) -> None:
    command = [sys.executable, "-P", "-m", "imgsearch"]
    helped = run(site, *command, "--help")
    assert helped.returncode == 0, helped.stderr
    assert "pipeline" in helped.stdout
    listed = run(site, *command, "encoders", "lite0")
    assert "efficientnet-lite0" in listed.stdout
    demo = run(site, *command, "demo")
    assert demo.returncode == 2
    assert demo.stderr.count("\n") == 1
    assert "part of the checkout" in demo.stderr
