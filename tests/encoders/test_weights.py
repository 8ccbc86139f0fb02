"""Loading weights: what is taken, what is refused, and that a refused pickle does not run."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from imgsearch.encoders.weights import file_sha256, kind_of, load_network, load_state_dict
from imgsearch.errors import UserError


class Mischief:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def tensors() -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2)}


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_state_dicts(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    held: dict = {prefix + name: value for name, value in tensors().items()}
    torch.save({wrapper: held, "epoch": 3} if wrapper else held, tmp_path / "w.pth")
    loaded = load_state_dict(tmp_path / "w.pth")
    assert list(loaded) == list(tensors())
    assert all(torch.equal(loaded[name], value) for name, value in tensors().items())


def test_versions_of_modules_are_kept(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.BatchNorm2d(2)).state_dict(), tmp_path / "plain.pth")
    torch.save(nn.DataParallel(nn.Sequential(nn.BatchNorm2d(2))).state_dict(), tmp_path / "parallel.pth")
    wanted = nn.Sequential(nn.BatchNorm2d(2)).state_dict()._metadata["0"]
    for name in ("plain", "parallel"):
        assert load_state_dict(tmp_path / f"{name}.pth")._metadata["0"] == wanted == {"version": 2}


def test_safetensors(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    assert torch.equal(load_state_dict(tmp_path / "w.safetensors")["fc.weight"], tensors()["fc.weight"])
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 50)
    with pytest.raises(UserError, match="not a safetensors file"):
        load_state_dict(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_network_is_refused(tmp_path: Path, legacy: bool) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=r"pickle of Python objects.*torch.save\(model.state_dict"):
        load_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("by_torch", [False, True])
def test_refused_pickle_does_not_run(tmp_path: Path, by_torch: bool) -> None:
    trace = tmp_path / "it_ran"
    path = tmp_path / "w.pth"
    if by_torch:
        torch.save({"w": Mischief(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Mischief(trace)))
    with pytest.raises(UserError, match=r"w\.pth"):
        load_state_dict(path)
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 broken zip"])
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"w\.pth"):
        load_state_dict(tmp_path / "w.pth")


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of a zip archive, each member changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


@pytest.mark.parametrize("kind", ["script", "program"])
def test_forged_networks_are_refused_in_one_line_and_nothing_runs(tmp_path: Path, kind: str) -> None:
    trace = tmp_path / "it_ran"
    network, given = nn.Linear(2, 2).eval(), torch.zeros(1, 2)
    suffix, sound = (".pt", tmp_path / "sound.pt") if kind == "script" else (".pt2", tmp_path / "sound.pt2")
    if kind == "script":
        torch.jit.trace(network, given).save(str(sound))
    else:
        torch.export.save(torch.export.export(network, (given,)), sound)
    load_network(sound, kind)
    mischief, pickled = io.BytesIO(), pickle.dumps(Mischief(trace))
    torch.save({"w": Mischief(trace)}, mischief)
    evil = pickled if kind == "script" else mischief.getvalue()
    half = sound.read_bytes()
    forged = {
        "empty": b"", "junk": b"junk" * 50, "half": half[: len(half) // 2], "zip": b"PK\x03\x04 broken zip",
    }  # fmt: skip
    for name, content in forged.items():
        (tmp_path / (name + suffix)).write_bytes(content)
    rewritten(sound, tmp_path / ("noise" + suffix), lambda name, data: bytes(255 - b for b in data))
    rewritten(sound, tmp_path / ("evil" + suffix), lambda name, data: evil if _is_pickle(name, data) else data)
    rewritten(
        sound, tmp_path / ("json" + suffix), lambda name, data: b"{}" if name.endswith((".json", ".py")) else data
    )
    for name in [*forged, "noise", "evil", "json"]:
        path = tmp_path / (name + suffix)
        with pytest.raises(UserError, match=rf"^encoder {re.escape(str(path))}: cannot be read as "):
            load_network(path, kind)
    assert not trace.exists()


def _is_pickle(name: str, data: bytes) -> bool:
    return name.endswith((".pkl", ".pt")) or data[:4] == b"PK\x03\x04" or data[:1] == b"\x80"


def test_no_tensors(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no tensors in it"):
        load_state_dict(tmp_path / "w.pth")


def test_kinds(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "w.pt")
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "s.pt"))
    kinds = {name: kind_of(tmp_path / name) for name in ("w.pt", "s.pt", "a.onnx", "b.pt2", "c.safetensors")}
    assert list(kinds.values()) == ["state_dict", "script", "onnx", "program", "state_dict"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
