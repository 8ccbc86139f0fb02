"""The job ``encoders``: a list, an exit code, and no Spark, torch or pandas behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imgsearch.encoders.list_encoders import chosen, table
from imgsearch.encoders.sources import Listed
from imgsearch.errors import UserError
from imgsearch.job import main

LISTED = [
    Listed("efficientnet-lite0", 1280, "offline", "the default"),
    Listed("resnet50", 2048, "download", "torchvision"),
    Listed("resnet50:IMAGENET1K_V1", 2048, "download", "torchvision"),
]


def test_what_is_chosen() -> None:
    assert chosen(LISTED, None, False) == LISTED
    assert [e.name for e in chosen(LISTED, "ResNet", False)] == ["resnet50", "resnet50:IMAGENET1K_V1"]
    assert [e.name for e in chosen(LISTED, None, True)] == ["efficientnet-lite0"]
    with pytest.raises(UserError, match=r"contains 'resnte50' .did you mean 'resnet50'"):
        chosen(LISTED, "resnte50", False)
    with pytest.raises(UserError, match="leave --offline out"):
        chosen(LISTED, "resnet", True)


def test_table_is_aligned() -> None:
    lines = table(LISTED).splitlines()
    assert [line.index("  ", 10) for line in lines[1:3]] == [18, 10]
    assert len({line.rindex("off") if "off" in line else line.index("download") for line in lines[1:]}) == 1
    assert lines[1].split() == ["efficientnet-lite0", "1,280", "offline", "the", "default"]


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["encoders.py", "lite0"])
    assert main("encoders") == 0
    assert "efficientnet-lite0" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["encoders.py", "--bogus"])
    assert main("encoders") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--bogus" in said


def test_nothing_heavy_is_imported_and_a_closed_pipe_is_no_fault() -> None:
    code = (
        "import sys; from imgsearch.launcher import main; code = main(['encoders']);"
        "heavy = {'torch', 'pandas', 'pyspark', 'numpy'} & set(sys.modules);"
        "print(code, sorted(heavy), file=sys.stderr)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read().decode().strip() == "0 []"
