"""The encoder's fingerprint, names, and the sidecar of a user's own network. No torch but where weights are made."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imgsearch.encoders import extras, sources, torchvision_networks
from imgsearch.encoders import weights as files
from imgsearch.encoders.encoder import Encoder, list_encoders, resolve
from imgsearch.encoders.sidecar import Sidecar, parse_sidecar
from imgsearch.errors import UserError


@pytest.fixture(scope="module")
def lite0() -> Encoder:
    return resolve("efficientnet-lite0")


def test_default_encoder(lite0: Encoder) -> None:
    assert (lite0.dim, lite0.pooling, lite0.precision, lite0.runtime) == (1280, "avg", "float32", "onnx")
    assert (lite0.preprocessing.height, lite0.preprocessing.fit, lite0.preprocessing.resample) == (
        224,
        "squash",
        "bicubic",
    )
    assert lite0.encoder_id.startswith("lite0-")
    assert len(lite0.encoder_id) == len("lite0-") + 12
    assert lite0.backbone.weights_sha256 == hashlib.sha256(Path(lite0.backbone.weights).read_bytes()).hexdigest()


def test_fingerprint_covers_what_changes_the_numbers(lite0: Encoder) -> None:
    prep = lite0.preprocessing
    changed = [
        replace(lite0, pooling="gem"),
        replace(lite0, precision="bf16"),
        replace(lite0, runtime="torch"),
        replace(lite0, dim=1000),
        replace(lite0, versions=(("onnxruntime", "9.9"),)),
        replace(lite0, backbone=replace(lite0.backbone, weights_sha256="0" * 64)),
        replace(lite0, backbone=replace(lite0.backbone, last_layer="_swish")),
        *(
            replace(lite0, preprocessing=replace(prep, **{name: value}))
            for name, value in [
                ("height", 225),
                ("width", 225),
                ("resample", "bilinear"),
                ("fit", "crop"),
                ("resize_to", 256),
                ("mean", (0.5, 0.5, 0.5)),
                ("std", (0.5, 0.5, 0.51)),
            ]
        ),
    ]
    assert len({encoder.encoder_id for encoder in [lite0, *changed]}) == len(changed) + 1


def test_fingerprint_leaves_out_names_and_places(lite0: Encoder) -> None:
    moved = replace(lite0, name="other", backbone=replace(lite0.backbone, weights="/elsewhere/lite0.pth"))
    assert moved.encoder_id == lite0.encoder_id
    assert moved == lite0
    assert "elsewhere" not in json.dumps(moved.settings)
    assert json.loads(json.dumps(lite0.settings)) == lite0.settings


def test_fingerprint_travels(lite0: Encoder) -> None:
    there = pickle.dumps(resolve())
    assert len(there) < 3000
    assert pickle.loads(there).encoder_id == lite0.encoder_id


def test_resolving_and_listing_need_no_torch() -> None:
    code = (
        "import sys; from imgsearch.encoders.encoder import resolve, list_encoders;"
        "resolve().encoder_id; list_encoders();"
        "assert 'torch' not in sys.modules and 'onnxruntime' not in sys.modules, sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_list_encoders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    listed = {entry.name: entry for entry in list_encoders()}
    assert listed["efficientnet-lite0"][1:3] == (1280, "offline")
    assert listed["resnet50"][1:3] == (2048, "download")
    assert listed["resnet50:IMAGENET1K_V1"].dim == 2048
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/resnet50-11ad3fa6.pth").touch()
    assert next(entry for entry in list_encoders() if entry.name == "resnet50").available == "offline"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5", ["did you mean 'resnet50'"]),
        ("efficientnet-lite", ["did you mean 'efficientnet-lite"]),
        ("resnet50:IMAGENET1K_V9", ["IMAGENET1K_V1", "IMAGENET1K_V2"]),
        ("no/such/net.pth", ["no such file"]),
        ("pyproject.toml", [".toml is none of .safetensors"]),
    ],
)
def test_names_that_do_not_exist(name: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        resolve(name)
    assert all(word in str(caught.value) for word in words), caught.value


def test_options_that_do_not_exist() -> None:
    with pytest.raises(UserError, match="--pooling mean: must be one of avg, gem, max"):
        resolve(pooling="mean")
    with pytest.raises(UserError, match="--precision float16"):
        resolve(precision="float16")
    with pytest.raises(UserError, match="ONNX Runtime has no bf16"):
        resolve(precision="bf16", runtime="onnx")


def test_missing_extras_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(extras.SETUP, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    names = {
        "timm:vit_tiny": "timm", "hf-hub:a/b": "timm", "efficientnet-lite1": "lite", "resnet50": "torch",
    }  # fmt: skip
    for name, extra in names.items():
        with pytest.raises(UserError, match=rf'encoder {name}: needs .*; pip install "imgsearch-spark\[{extra}\]"'):
            sources.find_source(name)
    with pytest.raises(UserError, match=r'--precision bf16: needs openvino; pip install "imgsearch-spark\[openvino\]"'):
        resolve(precision="bf16")


def test_published_weights_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(UserError) as caught:
        resolve("resnet50")
    assert str(tmp_path / "hub/checkpoints/resnet50-11ad3fa6.pth") in str(caught.value)
    assert "https://download.pytorch.org/models/resnet50-11ad3fa6.pth" in str(caught.value)


def test_published_weights_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = b"not weights, but resolving only hashes them"
    digits = hashlib.sha256(content).hexdigest()[:8]
    entry = torchvision_networks.network("resnet50")._replace(file=f"resnet50-{digits}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision_networks, "network", lambda name, weights: entry)
    path = files.hub_path(entry.file)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    encoder = resolve("resnet50")
    assert (encoder.dim, encoder.backbone.last_layer, encoder.preprocessing.resize_to) == (2048, "fc", 232)
    assert encoder.encoder_id.startswith("resnet50-")
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match="broken download"):
        resolve("resnet50")


def test_the_table_of_torchvision_is_up_to_date() -> None:
    from benchmarks.torchvision_networks import TARGET, table

    assert TARGET.read_text() == table()


def test_the_default_weights_come_first() -> None:
    entries = torchvision_networks.networks()["resnet50"]
    assert [(entry.weights, entry.default, entry.resize) for entry in entries] == [
        ("IMAGENET1K_V2", True, 232),
        ("IMAGENET1K_V1", False, 256),
    ]
    assert (entries[0].last_layer, entries[0].pool_layer, entries[0].mean[0]) == ("fc", "avgpool", 0.485)


def test_sidecar() -> None:
    text = 'size = [10, 20]\nmean = [0, 0.5, 1]\nstd = [1, 1, 1]\nfit = "crop"\nresize_to = 30\nresample = "bilinear"'
    said = parse_sidecar(text, "my.toml")
    assert said == Sidecar(
        size=(10, 20), mean=(0, 0.5, 1), std=(1, 1, 1), fit="crop", resize_to=30, resample="bilinear"
    )
    assert Sidecar(size=(8, 8)).over(said).mean == (0, 0.5, 1)
    assert Sidecar(size=(8, 8)).over(said).size == (8, 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("siz = 224", ["unknown key 'siz'", "did you mean 'size'"]),
        ("size = 1.5", ["size = 1.5"]),
        ("size = true", ["size = True"]),
        ("size = [1, 2, 3]", ["[height, width]"]),
        ("mean = [1, 2]", ["three numbers"]),
        ("std = [1, 0, 1]", ["above zero"]),
        ('fit = "stretch"', ["'squash' or 'crop'"]),
        ("dim = 0", ["whole number from 1"]),
        ("output = 3", ["must be a text"]),
        ("size = ", ["my.toml:"]),
    ],
)
def test_sidecar_refuses(text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_sidecar(text, "my.toml")
    assert all(word in str(caught.value) for word in words), caught.value
