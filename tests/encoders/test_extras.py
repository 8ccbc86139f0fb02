"""What a missing extra does: one line without the launcher, an installation with it. A small package stands in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imgsearch.encoders import extras
from imgsearch.errors import UserError


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> str:
    """An extra whose one module is nowhere."""
    monkeypatch.setitem(extras.MODULES, "torch", ("imgsearch_test_torch",))
    monkeypatch.delenv(extras.SETUP, raising=False)
    return "torch"


def setup_script(folder: Path, body: str) -> Path:
    script = folder / "setup.sh"
    script.write_text(f'set -eu\necho "$*" >&2\n{body}\n')
    return script


def test_without_the_launcher_one_line_says_what_to_install(lacking: str) -> None:
    with pytest.raises(UserError) as caught:
        extras.require(lacking, "encoder resnet50")
    said = str(caught.value)
    assert said.startswith('encoder resnet50: needs imgsearch_test_torch; pip install "imgsearch-spark[torch]"')
    assert "bash setup.sh extra torch" in said


def test_with_the_launcher_it_is_installed_and_importable(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    assert extras.missing(lacking) == ["imgsearch_test_torch"]
    script = setup_script(tmp_path, f"echo 'answer = 42' >{site}/imgsearch_test_torch.py; echo installed")
    monkeypatch.setenv(extras.SETUP, str(script))
    extras.require(lacking, "encoder resnet50")
    import imgsearch_test_torch  # type: ignore[import-not-found]

    assert imgsearch_test_torch.answer == 42
    captured = capfd.readouterr()
    assert captured.out == ""  # a job's output is its own
    assert captured.err == "extra torch encoder resnet50 needs imgsearch_test_torch\ninstalled\n"
    sys.modules.pop("imgsearch_test_torch")


@pytest.mark.parametrize("body", ["exit 3", "true"])
def test_an_installation_that_fails_is_the_users_error(
    lacking: str, body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(extras.SETUP, str(setup_script(tmp_path, body)))
    with pytest.raises(UserError, match=r"encoder a\.pt: needs imgsearch_test_torch"):
        extras.require(lacking, "encoder a.pt")


def test_modules_are_those_of_pyproject() -> None:
    """Every module named here is there where everything is installed, but for the extras that tests do without."""
    assert extras.missing("torch") == []


def test_the_embedded_encoder_asks_for_no_extra() -> None:
    code = (
        "import sys; from imgsearch.encoders import extras; extras.MODULES = {};"
        "from imgsearch.encoders.encoder import resolve; print(resolve().encoder_id)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.startswith("lite0-")
