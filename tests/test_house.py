"""The measures of the house see what they are made for."""

from __future__ import annotations

from pathlib import Path

import pytest

import house


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one folder in the house's place."""
    (tmp_path / "imgsearch").mkdir()
    monkeypatch.setattr(house, "ROOT", tmp_path)
    monkeypatch.setattr(house, "FOLDERS", ("imgsearch",))
    return tmp_path / "imgsearch"


def function(n_lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (n_lines - 1)


@pytest.mark.parametrize(("n_lines", "exit_code"), [(25, 0), (41, 1)])
def test_a_function_of_more_than_40_lines(
    code: Path, capsys: pytest.CaptureFixture[str], n_lines: int, exit_code: int
) -> None:
    (code / "a.py").write_text("class C:\n    x = 1\n\n\n" + function(n_lines))
    assert house.main() == exit_code
    assert ("41 lines: imgsearch/a.py:5 f" in capsys.readouterr().err) == bool(exit_code)


def test_more_than_one_function_in_ten_above_25_lines(code: Path) -> None:
    (code / "a.py").write_text(function(30) + function(2) * 8)
    assert house.main() == 1
    (code / "a.py").write_text(function(30) + function(2) * 9)
    assert house.main() == 0


def test_a_fourth_long_file(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        (code / f"{name}.py").write_text("x = 1\n" * 301)
    assert house.main() == 0
    (code / "d.py").write_text("x = 1\n" * 301)
    assert house.main() == 1
    assert "301 lines: imgsearch/d.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [
        ("from imgsearch.b import y", 1),
        ("def f():\n    from imgsearch import b", 1),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from imgsearch.b import y", 0),
        ("import os", 0),
    ],
)
def test_modules_that_import_each_other(code: Path, text: str, exit_code: int) -> None:
    (code / "a.py").write_text(text + "\n")
    (code / "b.py").write_text("import imgsearch.a\n\ny = 1\n")
    assert house.main() == exit_code
