"""The embedded encoder's graph, written without torch, against torch; and the reader of its weights."""

from __future__ import annotations

import importlib.metadata
import io
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imgsearch.encoders import encoder as encoders
from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.export import export_graph
from imgsearch.encoders.lite import DEPTHS, lite_graph
from imgsearch.encoders.runtime import load_runtime, reference_runtime
from imgsearch.encoders.sources import LITES
from imgsearch.encoders.torch_file import MAGIC, VERSION, read_torch_file

WITHOUT = """
import sys
for name in ("torch", "torchvision", "efficientnet_lite_pytorch", "safetensors", "onnxscript"):
    sys.modules[name] = None  # importing it fails
import numpy as np
from imgsearch.encoders.encoder import resolve
from imgsearch.encoders.export import export_graph
from imgsearch.encoders.runtime import load_runtime
encoder = resolve()
pixels = np.random.default_rng(3).integers(0, 256, (4, 224, 224, 3), np.uint8)
np.save(sys.argv[1], load_runtime(export_graph(encoder), encoder, 1)(pixels))
print(encoder.encoder_id)
"""


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left.astype(np.float64) * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def test_embedded_encoder_runs_without_torch_and_says_what_torch_says(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "rows.npy")]
    done = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)
    pixels = np.random.default_rng(3).integers(0, 256, (4, 224, 224, 3), np.uint8)
    rows, wanted = np.load(tmp_path / "rows.npy"), reference_runtime(resolve())(pixels)
    assert cosines(rows, wanted).min() >= 0.999999
    assert np.abs(rows - wanted).max() < 1e-5
    assert done.stdout.split() == [resolve().encoder_id]


def test_fingerprint_is_the_one_of_the_lock() -> None:
    """Embeddings that earlier versions made by torch's export stay comparable: nothing of this may change by itself."""
    assert resolve().versions == (("efficientnet-lite-pytorch", "0.1"), ("onnxruntime", "1.32"), ("pillow", "13.0"))
    assert resolve().encoder_id == "lite0-6db17197c5c3"
    assert importlib.metadata.version(encoders.LITE_VERSION[0]).startswith(encoders.LITE_VERSION[1] + ".")


def test_the_same_bytes_every_time() -> None:
    assert lite_graph(resolve()) == lite_graph(resolve())


def random_lite(name: str, folder: Path, *, old_format: bool) -> Encoder:
    """A Lite network with random weights, in a file of one's own."""
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(5)
    network = EfficientNet.from_name(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    torch.save(network.state_dict(), folder / "own.pth", _use_new_zipfile_serialization=not old_format)
    (folder / "own.toml").write_text(f'architecture = "{name}"\n')
    return resolve(str(folder / "own.pth"))


@pytest.mark.parametrize("name", LITES)
def test_every_variant_is_torchs(name: str, tmp_path: Path) -> None:
    assert set(DEPTHS) == set(LITES)
    encoder = random_lite(name, tmp_path, old_format=True)
    side = LITES[name].size
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    rows = load_runtime(lite_graph(encoder), encoder, 1)(pixels)
    assert cosines(rows, reference_runtime(encoder)(pixels)).min() >= 0.999999


def test_own_weights_in_todays_format_go_through_torch(tmp_path: Path) -> None:
    encoder = random_lite("efficientnet-lite0", tmp_path, old_format=False)
    with pytest.raises(ValueError, match=r"own\.pth: not a state dict of torch before 1\.6"):
        lite_graph(encoder)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 224, 224, 3), np.uint8)
    rows = load_runtime(export_graph(encoder), encoder, 1)(pixels)
    assert cosines(rows, reference_runtime(encoder)(pixels)).min() >= 0.999999


def test_reader_gives_torchs_tensors() -> None:
    path = Path(resolve().backbone.weights)
    tensors, wanted = read_torch_file(path), torch.load(path, weights_only=True)
    assert list(tensors) == list(wanted)
    for name, tensor in wanted.items():
        assert tensors[name].dtype == tensor.numpy().dtype
        assert np.array_equal(tensors[name], tensor.numpy()), name


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this ran",)


def test_reader_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    stream = io.BytesIO()
    for value in (MAGIC, VERSION, {"little_endian": True}, Evil(), []):
        pickle.dump(value, stream, protocol=2)
    path.write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match=r"print is no part of a state dict"):
        read_torch_file(path)
    assert capsys.readouterr().out == ""


def test_reader_refuses_what_is_cut_off_or_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "part.pth"
    torch.save({"a": torch.arange(10.0)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    assert read_torch_file(path)["a"].tolist() == list(range(10))
    for part in (whole[:0], whole[:20], whole[:-1], whole.replace(b"K\x0a\x85", b"K\x0b\x85")):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"part\.pth: not a state dict"):
            read_torch_file(path)


def test_weights_that_lack_a_layer(tmp_path: Path) -> None:
    encoder = resolve()
    tensors = torch.load(encoder.backbone.weights, weights_only=True)
    del tensors["_blocks.3._bn1.bias"]
    torch.save(tensors, tmp_path / "less.pth", _use_new_zipfile_serialization=False)
    less = replace(encoder, backbone=replace(encoder.backbone, weights=str(tmp_path / "less.pth")))
    with pytest.raises(ValueError, match=r"lack '_blocks\.3\._bn1\.bias'"):
        lite_graph(less)
