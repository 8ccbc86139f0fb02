"""The encoder: backbone, preprocessing, pooling, precision and runtime as one frozen value with a fingerprint.

Two images are comparable only when the same encoder saw both, so ``encoder_id`` covers everything that changes the
numbers: the architecture, the sha-256 of the weights, the preprocessing, the pooling, the precision, and the runtime
with its version. None of it needs torch, whose import takes 9 s.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from imgsearch.encoders import quantization
from imgsearch.encoders.backbone import Backbone, Preprocessing
from imgsearch.encoders.extras import require
from imgsearch.encoders.sources import find_source, list_encoders, part_names
from imgsearch.errors import LAUNCHER, UserError

__all__ = [
    "DEFAULT", "POOLINGS", "PRECISIONS", "RUNTIMES", "Backbone", "Encoder", "Preprocessing", "list_encoders", "resolve",
    "same_encoder",
]  # fmt: skip

DEFAULT = "efficientnet-lite0"
POOLINGS = ("avg", "gem", "max")
PRECISIONS = ("float32", "bf16", "int8")
RUNTIME_OF = {"float32": "onnx", "bf16": "openvino", "int8": "onnx"}
RUNTIMES = {"onnx": "onnxruntime", "torch": "torch", "openvino": "openvino"}  # and the package of each
ARCHITECTURE_PACKAGES = {"torchvision": "torchvision", "timm": "timm"}
#: The Lite networks are ours (``lite``); they are what this version of the package builds, which a test compares with.
LITE_VERSION = ("efficientnet-lite-pytorch", "0.1")
RECIPE = 1  # raised when our own arithmetic around the network changes


@dataclass(frozen=True)
class Encoder:
    """What turns an image into an embedding of ``dim`` float32 numbers, unit length. Small, picklable, hashable.

    ``versions`` holds (package, version to its second number) of what decides the numbers beside the weights, as they
    stood where the encoder was resolved: the fingerprint is then the same on every machine.
    """

    name: str = field(compare=False)  # what --encoder was given
    dim: int
    preprocessing: Preprocessing
    pooling: str
    precision: str
    runtime: str
    backbone: Backbone
    versions: tuple[tuple[str, str], ...]
    parts: tuple[Encoder, ...] = ()  # of ``a+b``: the encoders whose embeddings stand side by side

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything the fingerprint covers, ready for JSON."""
        covered = json.loads(json.dumps(asdict(self)))
        del covered["name"], covered["backbone"]["weights"], covered["parts"]
        if self.parts:
            return {**covered, "parts": [part.settings for part in self.parts], "versions": dict(self.versions)}
        quantized = {}
        if self.precision == "int8":
            quantized = {"quantization": quantization.RECIPE, "pictures": quantization.pictures_sha256()}
        return {**covered, "versions": dict(self.versions), "recipe": RECIPE, **quantized}

    @cached_property
    def encoder_id(self) -> str:
        """The fingerprint: a word for people and 12 hex digits of the settings' sha-256 (``lite0-0123456789ab``)."""
        text = json.dumps(self.settings, sort_keys=True, separators=(",", ":"))
        return f"{self._slug}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def _slug(self) -> str:
        word = (self.backbone.architecture or self.backbone.family).lower().removeprefix("efficientnet-")
        return "".join(letter if letter.isalnum() else "_" for letter in word)[:24]


def resolve(
    name: str = DEFAULT, *, pooling: str = "avg", precision: str = "float32", runtime: str | None = None
) -> Encoder:
    """The encoder that ``--encoder`` names.

    ``name`` is ``efficientnet-lite0`` (or 1, 2), a classification network of torchvision's (``resnet50``, or
    ``resnet50:IMAGENET1K_V1`` for other weights than its default), ``timm:NAME``, ``hf-hub:NAME``, or a file: weights
    (``.safetensors``, ``.pth``, ``.pt``), a whole network (TorchScript ``.pt``, exported ``.pt2``, ``.onnx``), with a
    TOML beside it (see ``sidecar``). ``a+b`` and ``a+b+c`` are their embeddings side by side. ``best`` and ``fast``
    stand for what was measured in docs/encoders.md. ``pooling`` "gem" is the generalised mean with p = 3 (Radenović et
    al. 2018).

    ``runtime`` is chosen by the precision unless given: ONNX Runtime for float32 and int8, OpenVINO for bf16. Raises
    ``UserError`` for everything that cannot be had, with what to do.
    """
    for option, value, choices in (("pooling", pooling, POOLINGS), ("precision", precision, PRECISIONS)):
        if value not in choices:
            raise UserError.option(option, value, f"must be one of {', '.join(choices)}")
    runtime = _runtime_for(precision, runtime)
    names = part_names(name)
    if len(names) > 1:
        return _side_by_side([resolve(n, pooling=pooling, precision=precision, runtime=runtime) for n in names])
    name = names[0]
    source = find_source(name)
    family = source.backbone.family
    packages = [RUNTIMES[runtime], "pillow", *filter(None, [ARCHITECTURE_PACKAGES.get(family)])]
    versions = [(package, _version(package)) for package in packages] + [LITE_VERSION] * (family == "lite")
    return Encoder(
        name=name,
        dim=source.dim,
        preprocessing=source.preprocessing,
        pooling=pooling,
        precision=precision,
        runtime=runtime,
        backbone=source.backbone,
        versions=tuple(sorted(versions)),
    )


def _side_by_side(parts: Sequence[Encoder]) -> Encoder:
    """The parts as one encoder. Each image is decoded once, at the size of the part that takes the most pixels."""
    ids = [part.encoder_id for part in parts]
    name = "+".join(part.name for part in parts)
    if len(set(ids)) < len(ids):
        raise UserError.option("encoder", name, "the same network twice; name two or three that differ")
    largest = max(parts, key=lambda part: part.preprocessing.height * part.preprocessing.width)
    slugs, weights = "_".join(part._slug for part in parts), ",".join(part.backbone.weights_sha256 for part in parts)
    return Encoder(
        name=name,
        dim=sum(part.dim for part in parts),
        preprocessing=largest.preprocessing,
        pooling=parts[0].pooling,
        precision=parts[0].precision,
        runtime=parts[0].runtime,
        backbone=Backbone("several", slugs, "", weights),
        versions=tuple(sorted({version for part in parts for version in part.versions})),
        parts=tuple(parts),
    )


def _runtime_for(precision: str, runtime: str | None) -> str:
    """The runtime to use, ``runtime`` if it is given. Raises ``UserError`` where it cannot do the precision."""
    runtime = runtime or RUNTIME_OF[precision]
    if runtime not in RUNTIMES:
        raise UserError.unknown("runtime", runtime, RUNTIMES)
    if precision == "bf16" and runtime == "onnx":
        raise UserError.option(
            "precision", precision, "ONNX Runtime has no bf16 on CPU; choose runtime openvino or torch"
        )
    if precision == "int8" and runtime != "onnx":
        raise UserError.option("precision", precision, f"is ONNX Runtime's; leave out runtime {runtime}")
    if runtime != "onnx":
        require(runtime, f"--precision {precision}" if precision == "bf16" else f"runtime {runtime}")
    return runtime


def same_encoder(encoder_id: str, name: str, settings: str) -> Encoder:
    """The encoder of a row of ``encoders``, made again here. Raises ``UserError`` where it would differ."""
    recorded = json.loads(settings)
    encoder = resolve(name, pooling=recorded["pooling"], precision=recorded["precision"])
    if encoder.encoder_id != encoder_id:
        differing = sorted(key for key in recorded if recorded[key] != encoder.settings.get(key))
        raise UserError(
            f"the embeddings were made by {encoder_id}, while {name} is {encoder.encoder_id} here "
            f"(other {', '.join(differing)}): vectors of two encoders are never compared; "
            f"run `{LAUNCHER} embed` and `compress` again"
        )
    return encoder


def _version(package: str) -> str:
    version = importlib.metadata.version(package).split("+")[0]
    return ".".join(version.split(".")[:2])
