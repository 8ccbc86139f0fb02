"""A user's own .onnx graphs, made by hand here, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.export import export_graph
from imgsearch.encoders.runtime import load_runtime
from imgsearch.errors import UserError

SIDE, CHANNELS = 12, 4
MEAN, STD = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
WEIGHTS = np.random.default_rng(0).normal(size=(CHANNELS, 3, 1, 1)).astype(np.float32)
SIDECAR = "mean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.6, 0.7]\n"


def graph(
    path: Path,
    *,
    batch: int | str = "n",
    channels_last: bool = False,
    side: int | str = SIDE,
    element: int = TensorProto.FLOAT,
    opset: int = 17,
    external: bool = False,
) -> Path:
    """x → 1x1 convolution + ReLU 'maps' → mean 'pooled' → softmax 'classes' (the first output)."""
    kind = np.float16 if element == TensorProto.FLOAT16 else np.float32
    shape = [batch, side, side, 3] if channels_last else [batch, 3, side, side]
    nodes = [
        *([helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2])] if channels_last else []),
        helper.make_node("Conv", ["planes" if channels_last else "x", "w"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
        helper.make_node("Softmax", ["pooled"], ["classes"]),
    ]
    made = helper.make_graph(
        nodes,
        "mine",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("classes", element, [batch, CHANNELS])],
        [numpy_helper.from_array(WEIGHTS.astype(kind), "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = {"save_as_external_data": True, "location": "mine.data", "size_threshold": 0} if external else {}
    onnx.save(model, str(path), **options)
    return path


def maps(pixels: np.ndarray) -> np.ndarray:
    planes = ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    return np.maximum(np.einsum("oc,nchw->nohw", WEIGHTS[:, :, 0, 0].astype(np.float64), planes), 0)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embed(encoder: Encoder, pixels: np.ndarray) -> np.ndarray:
    return load_runtime(export_graph(encoder), encoder, 1)(pixels)


PIXELS = np.random.default_rng(1).integers(0, 256, (7, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_named_output(tmp_path: Path, channels_last: bool, batch: int | str) -> None:
    path = graph(tmp_path / "mine.onnx", channels_last=channels_last, batch=batch)
    path.with_suffix(".toml").write_text(SIDECAR + 'output = "pooled"')
    encoder = resolve(str(path))
    assert (encoder.dim, encoder.preprocessing.height) == (CHANNELS, SIDE)
    assert np.allclose(embed(encoder, PIXELS), unit(maps(PIXELS).mean((2, 3))), atol=1e-5)


def test_first_output_by_default(tmp_path: Path) -> None:
    path = graph(tmp_path / "mine.onnx")
    path.with_suffix(".toml").write_text(SIDECAR)
    powers = np.exp(maps(PIXELS).mean((2, 3)))
    assert np.allclose(embed(resolve(str(path)), PIXELS), unit(powers / powers.sum(1, keepdims=True)), atol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "gem", "max"])
@pytest.mark.parametrize("opset", [13, 17, 20])
def test_feature_maps_are_pooled(tmp_path: Path, pooling: str, opset: int) -> None:
    path = graph(tmp_path / "mine.onnx", opset=opset)
    path.with_suffix(".toml").write_text(SIDECAR + 'output = "maps"')
    found = maps(PIXELS)
    wanted = {
        "avg": found.mean((2, 3)),
        "gem": (np.maximum(found, 1e-6) ** 3).mean((2, 3)) ** (1 / 3),
        "max": found.max((2, 3)),
    }
    assert np.allclose(embed(resolve(str(path), pooling=pooling), PIXELS), unit(wanted[pooling]), atol=1e-5)


def test_pooled_output_has_nothing_to_pool(tmp_path: Path) -> None:
    path = graph(tmp_path / "mine.onnx")
    path.with_suffix(".toml").write_text(SIDECAR + 'output = "pooled"')
    with pytest.raises(UserError, match="is pooled already; use avg"):
        export_graph(resolve(str(path), pooling="gem"))


def test_half_precision_graph(tmp_path: Path) -> None:
    path = graph(tmp_path / "mine.onnx", element=TensorProto.FLOAT16)
    path.with_suffix(".toml").write_text(SIDECAR + 'output = "pooled"')
    assert np.allclose(embed(resolve(str(path)), PIXELS), unit(maps(PIXELS).mean((2, 3))), atol=5e-3)


def test_open_size_comes_from_the_sidecar(tmp_path: Path) -> None:
    path = graph(tmp_path / "mine.onnx", side="s")
    path.with_suffix(".toml").write_text(SIDECAR)
    with pytest.raises(UserError, match="size unknown"):
        resolve(str(path))
    path.with_suffix(".toml").write_text(SIDECAR + f'size = {SIDE}\noutput = "pooled"')
    assert np.allclose(embed(resolve(str(path)), PIXELS), unit(maps(PIXELS).mean((2, 3))), atol=1e-5)


def test_old_opset_is_converted(tmp_path: Path) -> None:
    path = graph(tmp_path / "mine.onnx", opset=11)
    path.with_suffix(".toml").write_text(SIDECAR + 'output = "maps"')
    assert np.allclose(embed(resolve(str(path)), PIXELS), unit(maps(PIXELS).mean((2, 3))), atol=1e-5)


def test_tensors_beside_the_graph_are_part_of_its_identity(tmp_path: Path) -> None:
    path = graph(tmp_path / "mine.onnx", external=True)
    path.with_suffix(".toml").write_text(SIDECAR + 'output = "pooled"')
    encoder = resolve(str(path))
    assert np.allclose(embed(encoder, PIXELS), unit(maps(PIXELS).mean((2, 3))), atol=1e-5)
    data = tmp_path / "mine.data"
    data.write_bytes(bytes(reversed(data.read_bytes())))
    assert resolve(str(path)).encoder_id != encoder.encoder_id


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ("", ["mean, std unknown"]),
        (SIDECAR + 'output = "poled"', ["no tensor 'poled'", "did you mean 'pooled'", "its outputs: classes"]),
        (SIDECAR + "size = 13", ["size (13, 13)", "takes (12, 12)"]),
        (SIDECAR + 'architecture = "resnet50"', ["remove 'architecture'"]),
        (SIDECAR + 'last_layer = "fc"', ["no 'last_layer'", "'output'"]),
    ],
)
def test_sidecars_that_do_not_fit(tmp_path: Path, sidecar: str, words: list[str]) -> None:
    path = graph(tmp_path / "mine.onnx")
    path.with_suffix(".toml").write_text(sidecar)
    with pytest.raises(UserError) as caught:
        resolve(str(path))
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("content", [b"", b"not a graph at all"])
def test_files_that_are_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.onnx"):
        resolve(str(tmp_path / "mine.onnx"))


def test_graphs_of_something_else_than_images(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "text", [info("x", TensorProto.FLOAT, ["n", 20])],
        [info("y", TensorProto.FLOAT, ["n", 20])],
    )  # fmt: skip
    onnx.save(helper.make_model(made), str(tmp_path / "mine.onnx"))
    with pytest.raises(UserError, match=r"must be .n, 3, height, width"):
        resolve(str(tmp_path / "mine.onnx"))
