"""Two networks as one encoder. No torch, no Spark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny import TINY_SIDE, write_tiny

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.encoder import resolve, same_encoder
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.runtime import load_runtime
from imgsearch.encoders.side_by_side import side_by_side
from imgsearch.errors import UserError


def test_networks_side_by_side(tmp_path: Path) -> None:
    names = [write_tiny(tmp_path / f"{seed}.onnx", seed) for seed in (1, 2)]
    one, other = (resolve(name) for name in names)
    both = resolve(" + ".join(names))
    assert (both.name, both.dim) == ("+".join(names), one.dim + other.dim)
    assert both.encoder_id not in (one.encoder_id, other.encoder_id)
    assert both.encoder_id != resolve("+".join(reversed(names))).encoder_id
    assert same_encoder(both.encoder_id, both.name, json.dumps(both.settings)) == both
    pixels = np.random.default_rng(0).integers(0, 256, (5, TINY_SIDE, TINY_SIDE, 3), np.uint8)
    parts = [load_runtime(graph_of(encoder), encoder, 1)(pixels) for encoder in (one, other)]
    rows = load_runtime(graph_of(both), both, 1)(pixels)
    np.testing.assert_allclose(rows, np.concatenate(parts, axis=1) / np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(rows @ rows.T, (parts[0] @ parts[0].T + parts[1] @ parts[1].T) / 2, atol=1e-5)


def test_a_part_of_another_size_gets_the_pixels_resized() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 30, 20, 3), np.uint8)
    seen = []

    def network(given: np.ndarray) -> np.ndarray:
        seen.append(given)
        return given.reshape(len(given), -1)[:, :4].astype(np.float32)

    inputs = [Preprocessing(h, w, "bicubic", "squash", None, (0,) * 3, (1,) * 3) for h, w in ((30, 20), (12, 10))]
    assert side_by_side([network, network], inputs)(pixels).shape == (3, 8)
    assert seen[0] is pixels
    expected = Image.fromarray(pixels[2]).resize((10, 12), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(seen[1][2], np.asarray(expected))


@pytest.mark.parametrize("name", ["{0}+", "{0}+{0}", "{0}+{0}+{0}+{0}"])
def test_networks_that_cannot_stand_side_by_side(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--encoder .*(give two or 3 encoders|the same network twice)"):
        resolve(name.format(write_tiny(tmp_path / "a.onnx", 0)))


def test_a_plus_in_the_name_of_a_file(tmp_path: Path) -> None:
    assert resolve(write_tiny(tmp_path / "a+b.onnx", 0)).parts == ()
