"""The demo's folder: another's is never touched, and no link is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgsearch.errors import UserError
from plantdemo.demo import MARKER, _own_folder


def test_only_a_demos_own_folder_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = _own_folder("out")
    assert out == tmp_path / "out"
    for part in ("warehouse", "export"):
        (out / part).mkdir()
        (out / part / "old").touch()
    (out / "mine.txt").touch()
    _own_folder("out")
    assert sorted(path.name for path in out.iterdir()) == sorted([MARKER, "mine.txt"])

    theirs = tmp_path / "theirs"
    (theirs / "warehouse").mkdir(parents=True)
    with pytest.raises(UserError, match="--output theirs: is not empty and no earlier run made it"):
        _own_folder("theirs")
    (out / "warehouse").symlink_to(theirs)
    with pytest.raises(UserError, match="--output out: warehouse in it is a link"):
        _own_folder("out")
    assert (theirs / "warehouse").is_dir()
    with pytest.raises(UserError, match="the demo draws into a local folder"):
        _own_folder("s3a://bucket/out")
    assert not (tmp_path / "s3a:").exists()
