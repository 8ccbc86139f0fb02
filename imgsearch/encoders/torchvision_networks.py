"""torchvision's classification networks, known without importing torchvision (which imports torch: 9 s).

``torchvision_networks.csv`` has a line for each published weights file. ``benchmarks/torchvision_networks.py`` writes
it from torchvision 0.29, and a test compares them.
"""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from imgsearch.errors import UserError


class Network(NamedTuple):
    """A network of torchvision's with one set of its published weights."""

    name: str
    weights: str
    default: bool
    dim: int  # of what enters the last layer
    last_layer: str  # dotted name of the module that gives the classes
    pool_layer: str  # dotted name of its AdaptiveAvgPool2d(1); empty where it pools otherwise or not at all
    crop: int  # pixels
    resize: int  # pixels, the shorter side before the crop
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    file: str


@cache
def networks() -> dict[str, list[Network]]:
    """Each network's name with its published weights, torchvision's default first."""
    entries: dict[str, list[Network]] = {}
    text = files("imgsearch.encoders").joinpath("torchvision_networks.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(io.StringIO(text)):
        entries.setdefault(row["name"], []).append(_network(row))
    return {name: sorted(some, key=lambda entry: not entry.default) for name, some in entries.items()}


def _network(row: dict[str, str]) -> Network:
    numbers = {name: int(row[name]) for name in ("dim", "crop", "resize")}
    triples = {name: _triple(row[name]) for name in ("mean", "std")}
    return Network(**{**row, **numbers, **triples, "default": row["default"] == "1"})  # type: ignore[arg-type]


def _triple(text: str) -> tuple[float, float, float]:
    red, green, blue = map(float, text.split())
    return red, green, blue


def network(name: str, weights: str | None = None) -> Network:
    """One network, with its default weights or those named (``IMAGENET1K_V1``, in either case).

    >>> network("resnet50").dim, network("resnet50", "imagenet1k_v1").file
    (2048, 'resnet50-0676ba61.pth')

    Raises ``UserError`` for names that torchvision does not have.
    """
    if name not in networks():
        raise UserError.unknown("network", name, networks())
    entries = networks()[name]
    if weights is None:
        return entries[0]
    for entry in entries:
        if entry.weights == weights.upper():
            return entry
    raise UserError.unknown(f"weights of {name}", weights.upper(), [entry.weights for entry in entries])
