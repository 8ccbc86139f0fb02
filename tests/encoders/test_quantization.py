"""int8 graphs: near the float32 ones, smaller, the same twice, and refused where they would say something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from imgsearch.encoders import export as onnx_export
from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.export import export_graph
from imgsearch.encoders.quantization import calibration_pictures
from imgsearch.encoders.runtime import load_runtime
from imgsearch.errors import UserError

SIDE = 32


class Net(nn.Module):
    """Three convolutions with a shortcut, pooled: what a residual network is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, 2, 1)
        self.second = nn.Conv2d(32, 32, 3, 1, 1)
        self.third = nn.Conv2d(32, 64, 3, 2, 1)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.first(planes))
        maps = torch.relu(self.second(maps) + maps)
        return torch.relu(self.third(maps)).mean((2, 3))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("net") / "net.pt"
    torch.jit.trace(Net().eval(), torch.zeros(2, 3, SIDE, SIDE)).save(str(path))
    path.with_suffix(".toml").write_text(f"size = {SIDE}\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n")
    return resolve(str(path))


def test_int8(encoder: Encoder) -> None:
    pictures = calibration_pictures(SIDE, SIDE)
    assert pictures.shape == (48, SIDE, SIDE, 3)
    assert len({picture.tobytes() for picture in pictures}) == 48
    pictures = pictures[:10]
    lower = resolve(encoder.name, precision="int8")
    assert lower.runtime == "onnx"
    assert lower.encoder_id != encoder.encoder_id
    assert {"quantization", "pictures"} <= set(lower.settings)
    assert "quantization" not in encoder.settings
    full, graph = export_graph(encoder), export_graph(lower, pictures)
    assert graph == export_graph(lower, pictures)
    assert 4 * len(graph) < 3 * len(full)  # a quarter of the weights, and names
    asked = calibration_pictures(SIDE, SIDE)[20:25]
    got, wanted = load_runtime(graph, lower, 1)(asked), load_runtime(full, encoder, 1)(asked)
    cosines = (got * wanted).sum(1)
    assert 0.98 < cosines.min() < 0.9999999
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_mistakes(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    lower = replace(encoder, precision="int8")
    with pytest.raises(ValueError, match="int8 needs pictures"):
        export_graph(lower)
    with pytest.raises(UserError, match="--precision int8: is ONNX Runtime's; leave out runtime torch"):
        resolve(encoder.name, precision="int8", runtime="torch")
    monkeypatch.setattr(onnx_export, "INT8_AGREEMENT", 1.01)
    with pytest.raises(UserError, match=r"--precision int8: changes what .* says too much .cosine [01]\.\d"):
        export_graph(lower, calibration_pictures(SIDE, SIDE)[:4])


def test_a_graph_of_a_fixed_batch(encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    torch.onnx.export(Net().eval(), (torch.zeros(3, 3, SIDE, SIDE),), str(path), dynamo=False)
    path.with_suffix(".toml").write_text("mean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n")
    lower = resolve(str(path), precision="int8")
    graph = export_graph(lower, calibration_pictures(SIDE, SIDE)[:7])
    assert load_runtime(graph, lower, 1)(calibration_pictures(SIDE, SIDE)[:4]).shape == (4, 64)
