"""Exported graphs against torch, and the runtime around them. Small networks with random weights, small images."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.export import export_graph
from imgsearch.encoders.runtime import load_runtime, reference_runtime
from imgsearch.errors import UserError

PREPARED = "mean = [0.4, 0.5, 0.6]\nstd = [0.2, 0.25, 0.3]\n"
MEAN, STD = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])


class Small(nn.Module):
    """Two convolutions with BatchNorm, average pooling, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 5)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(torch.relu(self.norm(self.conv(planes)))).flatten(1))


def noise(n: int, side: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left.astype(np.float64) * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def resnet18(folder: Path, extra: str = "") -> Path:
    from torchvision.models import resnet18 as build

    torch.manual_seed(3)
    network = build(num_classes=7)  # a user's own classes: the last layer goes anyway
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    torch.save(network.state_dict(), folder / "mine.pth")
    (folder / "mine.toml").write_text('architecture = "resnet18"\nsize = 64\n' + extra)
    return folder / "mine.pth"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return resolve(str(resnet18(tmp_path_factory.mktemp("resnet"))))


@pytest.fixture(scope="module")
def resnet_graph(resnet: Encoder) -> bytes:
    return export_graph(resnet)


@pytest.mark.parametrize("pooling", ["avg", "gem", "max"])
def test_lite0_graph_is_torchs(pooling: str) -> None:
    encoder = resolve(pooling=pooling)
    pixels = noise(3, 224)
    got = load_runtime(export_graph(encoder), encoder, 1)(pixels)
    wanted = reference_runtime(encoder)(pixels)
    assert got.shape == (3, 1280)
    assert got.dtype == np.float32
    assert cosines(got, wanted).min() >= 0.999999
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_lite0_preprocessing_and_pooling_against_numpy() -> None:
    """What the wrapper does, redone by hand around the bare network."""
    from efficientnet_lite_pytorch import EfficientNet

    encoder, pixels = resolve(pooling="gem"), noise(2, 224, seed=5)
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(encoder.backbone.weights, weights_only=True))
    planes = ((pixels.astype(np.float64) - 127) / 128).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        maps = network.extract_features(torch.from_numpy(planes)).numpy().astype(np.float64)
    pooled = (np.maximum(maps, 1e-6) ** 3).mean((2, 3)) ** (1 / 3)
    assert cosines(reference_runtime(encoder)(pixels), pooled).min() >= 0.999999


def test_state_dict_of_a_file(resnet: Encoder, resnet_graph: bytes) -> None:
    assert (resnet.dim, resnet.preprocessing.fit, resnet.preprocessing.resize_to) == (512, "crop", 256)
    pixels = noise(5, 64)
    got = load_runtime(resnet_graph, resnet, 1)(pixels)
    assert cosines(got, reference_runtime(resnet)(pixels)).min() >= 0.999999


def test_graph_is_folded(resnet_graph: bytes) -> None:
    import onnx

    graph = onnx.load_from_string(resnet_graph).graph
    operators = {node.op_type for node in graph.node}
    assert not operators & {"BatchNormalization", "Constant", "Identity", "Dropout", "Shape"}, operators
    assert [value.name for value in (*graph.input, *graph.output)] == ["pixels", "embedding"]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_answer_does_not_depend_on_the_batch(resnet: Encoder, resnet_graph: bytes) -> None:
    runtime, pixels = load_runtime(resnet_graph, resnet, 1), noise(19, 64)
    whole = runtime(pixels)
    parts = np.concatenate([runtime(pixels[:1]), runtime(pixels[1:8]), runtime(pixels[8:])])
    assert np.allclose(whole, parts, atol=1e-5)
    assert runtime(pixels[:0]).shape == (0, 512)
    assert np.allclose(runtime(pixels[::-1]), whole[::-1], atol=1e-5)  # a view with negative strides


def test_pixels_of_another_shape_are_refused(resnet: Encoder, resnet_graph: bytes) -> None:
    runtime = load_runtime(resnet_graph, resnet, 1)
    for wrong in (noise(1, 65), noise(1, 64).astype(np.float32), noise(1, 64)[..., :1], noise(1, 64)[0]):
        with pytest.raises(ValueError, match=r"takes uint8 \(n, 64, 64, 3\)"):
            runtime(wrong)


def test_executors_do_not_import_torch(resnet: Encoder, tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(export_graph(resnet))
    code = (
        "import sys, pathlib, numpy as np; from imgsearch.encoders.encoder import resolve;"
        "from imgsearch.encoders.runtime import load_runtime;"
        "import imgsearch.encoders.embedding, imgsearch.lake.worker;"
        f"e = resolve({resnet.name!r}); g = pathlib.Path({str(tmp_path / 'graph')!r}).read_bytes();"
        "print(load_runtime(g, e, 1)(np.zeros((1, 64, 64, 3), np.uint8)).shape);"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules and 'pyspark' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 512)"


def test_last_layer_of_ones_own_choice(tmp_path: Path) -> None:
    encoder = resolve(str(resnet18(tmp_path, 'last_layer = "layer4.1"\npool_layer = "avgpool"')))
    assert encoder.dim == 7  # the classes: the block that was left out hands on what it gets
    with pytest.raises(UserError, match=r"no layer 'layer4\.2' .did you mean 'layer4"):
        resolve(str(resnet18(tmp_path, 'last_layer = "layer4.2"')))


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = resnet18(tmp_path)
    for architecture, words in [("resnet34", "the file lacks layer1.2"), ("wide_resnet50_2", "do not fit")]:
        path.with_suffix(".toml").write_text(f'architecture = "{architecture}"\nsize = 64')
        with pytest.raises(UserError, match=words):
            reference_runtime(resolve(str(path)))
    path.with_suffix(".toml").write_text('architecture = "resnet19"')
    with pytest.raises(UserError, match="did you mean 'resnet1"):
        resolve(str(path))
    path.with_suffix(".toml").unlink()
    with pytest.raises(UserError, match=r"architecture unknown; write them in .*mine.toml"):
        resolve(str(path))


def test_wrong_dim_in_the_sidecar(tmp_path: Path) -> None:
    encoder = resolve(str(resnet18(tmp_path, "dim = 500")))
    with pytest.raises(UserError, match=r"gives .2, 512., not .2, 500.|gives .1, 512., not .1, 500."):
        export_graph(encoder)


def test_weights_with_nan(tmp_path: Path) -> None:
    path = resnet18(tmp_path)
    tensors = torch.load(path, weights_only=True)
    tensors["conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(tensors, path)
    with pytest.raises(UserError, match="NaN or infinity"):
        export_graph(resolve(str(path)))


@pytest.mark.parametrize("kind", ["script", "program"])
def test_whole_networks_in_a_file(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(1)
    network = Small().eval()
    planes = torch.randn(2, 3, 32, 32)
    if kind == "script":
        path = tmp_path / "net.pt"
        torch.jit.trace(network, planes).save(str(path))
    else:
        path = tmp_path / "net.pt2"
        torch.export.save(torch.export.export(network, (planes,), dynamic_shapes=({0: torch.export.Dim("n")},)), path)
    with pytest.raises(UserError, match=r"size, mean, std unknown; write them in .*net.toml"):
        resolve(str(path))
    path.with_suffix(".toml").write_text(PREPARED + "size = 32")
    encoder, pixels = resolve(str(path)), noise(5, 32)
    assert encoder.dim == 5
    got = load_runtime(export_graph(encoder), encoder, 1)(pixels)
    prepared = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(prepared)).numpy()
    assert cosines(got, wanted).min() >= 0.999999


def test_torch_runtime_in_float32_and_bf16(resnet: Encoder) -> None:
    full = replace(resnet, runtime="torch")
    lower = replace(full, precision="bf16")
    graph, pixels = export_graph(full), noise(6, 64)
    wanted = reference_runtime(resnet)(pixels)
    assert cosines(load_runtime(graph, full, 1)(pixels), wanted).min() >= 0.999999
    assert 0.99 < cosines(load_runtime(graph, lower, 1)(pixels), wanted).min() < 0.999999
    assert len({encoder.encoder_id for encoder in (resnet, full, lower)}) == 3


def test_exporter_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    export_graph(resolve(str(resnet18(tmp_path))))
    assert capfd.readouterr() == ("", "")
    assert not [str(warning.message) for warning in recwarn]


def test_black_image_of_a_dead_network_stays_zero(tmp_path: Path) -> None:
    path = resnet18(tmp_path, "mean = [0, 0, 0]\nstd = [1, 1, 1]")
    tensors = {name: torch.zeros_like(value) for name, value in torch.load(path, weights_only=True).items()}
    torch.save(tensors, path)
    encoder = resolve(str(path))
    rows = load_runtime(export_graph(encoder), encoder, 1)(np.zeros((1, 64, 64, 3), np.uint8))
    assert not rows.any()
