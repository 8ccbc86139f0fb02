"""The fast path against plain Pillow and torch on a sample of real photographs; ``benchmarks/answers.py`` does all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imgsearch.encoders.encoder import resolve

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import answers


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "n"), [("grocery", 100), ("neu_det", 100)])
def test_the_answer_is_torchs(name: str, n: int) -> None:
    folder = answers.DATA / name / "images"
    if not folder.is_dir():
        pytest.skip(f"no real photographs: {folder} is not there")
    everything = answers.photographs(folder, 1)
    sample = everything[:: max(1, len(everything) // n)]
    found = answers.compare(resolve(), sample)
    assert len(found.cosines) >= n
    assert found.cosines.min() >= answers.GOAL, found.paths[int(found.cosines.argmin())]
