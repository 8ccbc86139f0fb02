"""The backbone: which network, which weights, and how an image must be prepared for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Family = Literal["lite", "torchvision", "script", "program", "onnx", "timm", "several"]


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB image becomes the network's input of ``height`` x ``width`` pixels.

    ``fit`` "squash" resizes without keeping the aspect ratio; "crop" resizes the shorter side to ``resize_to`` and
    cuts the middle out. ``resample`` is "bicubic" or "bilinear". ``mean`` and ``std`` (red, green, blue) belong to
    pixels scaled to 0..1; they are applied inside the graph, not by whoever decodes the image.
    """

    height: int
    width: int
    resample: str
    fit: str
    resize_to: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Backbone:
    """A network and its weights: which bytes they are, and (no part of its identity) where they lie."""

    family: Family
    architecture: str
    weights: str = field(compare=False)  # a path; for timm the name of its hub
    weights_sha256: str
    last_layer: str = ""  # dotted name of the module that is left out; empty: none is
    pool_layer: str = ""  # dotted name of the module that ``pooling`` replaces; empty: there is none to replace
    output: str = ""  # .onnx: the tensor that is taken; empty: the first output


@dataclass(frozen=True)
class Source:
    """A backbone with its preprocessing and the size of what it gives: what a name on the command line stands for."""

    backbone: Backbone
    preprocessing: Preprocessing
    dim: int
