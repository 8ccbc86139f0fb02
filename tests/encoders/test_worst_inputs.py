"""The memory that docs/deployment.md promises a core: the largest accepted file of each format, in a real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import features
from support.large_images import LARGEST

ONE_GB = 1000.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc")
def test_the_worst_accepted_file_of_each_format_fits_into_a_gigabyte(tmp_path: Path) -> None:
    kinds = [kind for kind in LARGEST if kind != "avif" or features.check("avif")]
    for kind in kinds:
        (tmp_path / kind).write_bytes(LARGEST[kind]())
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "worst_inputs.py"), *(str(tmp_path / kind) for kind in kinds)],
        capture_output=True, text=True, timeout=600, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = {row["name"]: row for row in map(json.loads, ran.stdout.splitlines())}
    assert {kind: row["outcome"] for kind, row in rows.items()} == dict.fromkeys(kinds, "embedded")
    peaks = {kind: row["peak_mb"] for kind, row in rows.items()}
    assert max(peaks.values()) < ONE_GB, peaks
    assert max(peaks.values()) > 600, peaks  # they are large, and the peak was seen
    assert max(row["seconds"] for row in rows.values()) < 20.0, rows  # CPU time: decode_seconds
