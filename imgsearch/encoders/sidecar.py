"""The TOML beside a user's own network (``my.toml`` beside ``my.onnx``): what the weights file does not say.

architecture = "resnet50"        # for a state dict: the network that the tensors belong to
size = 224                       # or [height, width], pixels
mean = [0.485, 0.456, 0.406]     # of pixels scaled to 0..1
std = [0.229, 0.224, 0.225]
fit = "crop"                     # or "squash"
resize_to = 256                  # crop: the shorter side before it, pixels
resample = "bilinear"            # or "bicubic"
output = "features"              # .onnx: the tensor to take, if not the first output
last_layer = "fc"                # networks of torch: the module to leave out
pool_layer = "avgpool"           # the module that --pooling replaces
dim = 2048                       # saves a trial run
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from imgsearch.errors import UserError, did_you_mean

RESAMPLES = ("bicubic", "bilinear")
FITS = ("squash", "crop")


@dataclass(frozen=True)
class Sidecar:
    """What the file said; ``None`` where it said nothing. ``size`` is (height, width) in pixels."""

    architecture: str | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    fit: str | None = None
    resize_to: int | None = None
    resample: str | None = None
    output: str | None = None
    last_layer: str | None = None
    pool_layer: str | None = None
    dim: int | None = None

    def over(self, defaults: Sidecar) -> Sidecar:
        """This file's values, and ``defaults`` where it has none."""
        values = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(defaults, **values)

    def require(self, path: Path, *names: str) -> None:
        """Raises ``UserError`` naming the keys of ``names`` that nothing gave, and where to write them."""
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise UserError(
                f"encoder {path}: {', '.join(missing)} unknown; write them in {path.with_suffix('.toml')}, "
                "as in: size = 224, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]"
            )


def read_sidecar(weights: Path) -> Sidecar:
    """The sidecar of a weights file; an empty one where there is none.

    Raises ``UserError`` for bad TOML, an unknown key (with the nearest known one), or a value of the wrong kind.
    """
    path = weights.with_suffix(".toml")
    if not path.exists():
        return Sidecar()
    try:
        return parse_sidecar(path.read_text("utf-8"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def parse_sidecar(text: str, where: str) -> Sidecar:
    """The sidecar in a TOML text; ``where`` names it in errors.

    >>> parse_sidecar("size = 64", "my.toml").size
    (64, 64)
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: {error}") from None
    keys = [field.name for field in fields(Sidecar)]
    for key in table:
        if key not in keys:
            raise UserError(f"{where} has unknown key {key!r}{did_you_mean(key, keys)}; known: {', '.join(keys)}")
    return Sidecar(**{key: _checked(key, value, where) for key, value in table.items()})


def _checked(key: str, value: Any, where: str) -> Any:
    def refuse(kind: str) -> UserError:
        return UserError(f"{where}: {key} = {value!r}, but it must be {kind}")

    if key in ("fit", "resample"):
        choices = FITS if key == "fit" else RESAMPLES
        if value not in choices:
            raise refuse(" or ".join(repr(choice) for choice in choices))
        return value
    if key == "size":
        sides = value if isinstance(value, list) else [value, value]
        if len(sides) != 2 or not all(_is_whole(side) and 8 <= side <= 4096 for side in sides):
            raise refuse("a side in pixels from 8 to 4096, or [height, width]")
        return tuple(sides)
    if key in ("mean", "std"):
        if not isinstance(value, list) or len(value) != 3 or not all(_is_number(number) for number in value):
            raise refuse("three numbers, for red, green and blue scaled to 0..1")
        if key == "std" and min(value) <= 0:
            raise refuse("three numbers above zero")
        return tuple(float(number) for number in value)
    if key in ("resize_to", "dim"):
        if not _is_whole(value) or value < 1:
            raise refuse("a whole number from 1")
        return value
    if not isinstance(value, str) or not value:
        raise refuse("a text")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
