"""Writes ``imgsearch/encoders/torchvision_networks.csv`` from torchvision's registry: a line a published weights file.

    python benchmarks/torchvision_networks.py

The package reads the table instead of torchvision, whose import takes 9 s. Networks are built without their weights.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torchvision
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torchvision.models import get_model, get_model_weights, list_models

TARGET = Path(__file__).resolve().parent.parent / "imgsearch" / "encoders" / "torchvision_networks.csv"
COLUMNS = (
    "name", "weights", "default", "dim", "last_layer", "pool_layer", "crop", "resize", "resample", "mean", "std",
    "file",
)  # fmt: skip
N_CLASSES = 1000
FEATURES_ONLY = "IMAGENET1K_FEATURES"  # VGG's weights without a classifier


def table() -> str:
    """The whole file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name in list_models(module=torchvision.models):
        writer.writerows(rows_of(name))
    return text.getvalue()


def rows_of(name: str) -> Iterator[dict[str, Any]]:
    """One network's rows, a set of weights each."""
    layers = layers_of(name)
    for weights in get_model_weights(name):
        if weights.name != FEATURES_ONLY:
            preset = weights.transforms()
            yield layers | {
                "name": name,
                "weights": weights.name,
                "default": int(weights == get_model_weights(name).DEFAULT),
                "crop": preset.crop_size[0],
                "resize": preset.resize_size[0],
                "resample": preset.interpolation.value,
                "mean": " ".join(map(str, preset.mean)),
                "std": " ".join(map(str, preset.std)),
                "file": weights.url.rpartition("/")[2],
            }


def layers_of(name: str) -> dict[str, Any]:
    """The last layer that gives the classes, the width of what enters it, and the last global average pooling."""
    hook = register_module_parameter_registration_hook(_without_memory)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about initial values, which no network here has
            modules = dict(get_model(name).named_modules())
    finally:
        hook.remove()
    last = [key for key, module in modules.items() if _n_out(module) == N_CLASSES][-1]
    pools = [key for key, module in modules.items() if _is_global_pool(module)]
    layer = modules[last]
    dim = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    return {"dim": dim, "last_layer": last, "pool_layer": pools[-1] if pools else ""}


def _without_memory(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(parameter.to("meta"))


def _n_out(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.out_channels if isinstance(module, nn.Conv2d) else 0


def _is_global_pool(module: nn.Module) -> bool:
    return isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
