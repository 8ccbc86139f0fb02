"""What an archive says of itself, and who refuses it."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from imgsearch.errors import UserError
from imgsearch.lake.archive import CODE, MANIFEST, Manifest, check_archive, check_worker, read_manifest
from imgsearch.lake.package import code_id

OURS = Manifest("0.1.0", code_id(), platform.python_version(), "Linux", platform.machine(), "2.17")


def archive(path: Path, manifest: Manifest | dict[str, str] | None, name: str = MANIFEST) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        fields = manifest._asdict() if isinstance(manifest, Manifest) else manifest
        for entry, content in ((name, json.dumps(fields).encode()), ("bin/python", b"#!/bin/sh\n")):
            if fields is not None or entry != name:
                info = tarfile.TarInfo(entry)
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
    return path


def test_an_archive_of_this_code_and_python_fits(tmp_path: Path) -> None:
    assert check_archive(archive(tmp_path / "a.tar.gz", OURS)) == OURS


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"python": "3.9.1"}, r"it has Python 3\.9, the driver has 3\.\d+; make it again with `make package`"),
        ({"system": "Darwin"}, "it is for Darwin, this is Linux"),
        ({"code": "0123"}, r"it has other code of imgsearch \(0\.1\.0, 0123\) than the driver"),
    ],
)
def test_another_python_platform_or_code_is_refused_in_one_line(
    changed: dict[str, str], said: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "a.tar.gz", OURS._replace(**changed))
    with pytest.raises(UserError, match=rf"archive {path}: {said}") as caught:
        check_archive(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_archive_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of imgsearch's"):
        read_manifest(archive(tmp_path / "other.tar.gz", None))
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(archive(tmp_path / "old.tar.gz", {"version": "0.1.0"}))
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "old.tar.gz").read_bytes()[:40])
    for name in ("cut.tar.gz", "missing.tar.gz"):
        with pytest.raises(UserError, match=f"archive {tmp_path / name}: cannot be read"):
            read_manifest(tmp_path / name)


def test_a_worker_with_other_code_than_its_driver_stops_at_import(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(OURS._asdict()))
    check_worker({}, str(tmp_path))
    check_worker({CODE: OURS.code}, str(tmp_path))
    check_worker({CODE: "0123"}, str(tmp_path / "no archive"))
    with pytest.raises(UserError, match="worker's archive is of other code"):
        check_worker({CODE: "0123"}, str(tmp_path))
    code = f"import sys; sys.prefix = {str(tmp_path)!r}; import imgsearch.lake.batches"
    for told, status in ((OURS.code, 0), ("0123", 1)):
        environ = os.environ | {CODE: told}
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr
    assert done.stderr.splitlines()[-1].startswith("imgsearch.errors.UserError: the worker's archive is of other code")
