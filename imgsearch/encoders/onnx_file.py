"""A user's own ``.onnx`` file: what the graph in it takes and gives."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imgsearch.encoders.weights import file_sha256
from imgsearch.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import onnx

LEAST_OPSET = 13  # axes of Unsqueeze, Squeeze and ReduceSum became inputs there


class Described(NamedTuple):
    """A graph seen from outside. ``size`` (height, width) and ``dim`` are ``None`` where the graph leaves them open."""

    sha256: str
    size: tuple[int, int] | None
    output: str
    dim: int | None


def describe(path: Path, output: str = "") -> Described:
    """What the graph takes and gives; ``output`` names a tensor, the first output unless given.

    The hash covers tensors kept in files beside the graph. Raises ``UserError`` when it is no ONNX file or does not
    take one image tensor of three colours.
    """
    model = read(path, load_tensors=False)
    digest = hashlib.sha256(file_sha256(path).encode())
    for name in sorted(_external_files(model)):
        digest.update(file_sha256(path.parent / name).encode())
    shape, channels_last = image_input(model, path)
    sides = shape[1:3] if channels_last else shape[2:4]
    size = (sides[0], sides[1]) if sides[0] is not None and sides[1] is not None else None
    name = output or model.graph.output[0].name
    return Described(digest.hexdigest(), size, name, _output_dim(model, path, name))


def read(path: Path, *, load_tensors: bool) -> onnx.ModelProto:
    """The graph, converted to opset 13 where it is older. Raises ``UserError`` where that cannot be done."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=load_tensors)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UserError(f"encoder {path}: not a readable ONNX graph ({error})") from None
    if not model.graph.output:
        raise UserError(f"encoder {path}: not an ONNX graph: it has no output")
    opset = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")], default=0)
    if opset >= LEAST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, LEAST_OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own kinds
        raise UserError(
            f"encoder {path}: opset {opset} is too old; export it with opset {LEAST_OPSET} or later ({error})"
        ) from None


def _external_files(model: onnx.ModelProto) -> set[str]:
    entries = [entry for tensor in model.graph.initializer for entry in tensor.external_data]
    return {entry.value for entry in entries if entry.key == "location"}


def graph_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The input that is no constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(info for info in model.graph.input if info.name not in constants)


def image_input(model: onnx.ModelProto, path: Path) -> tuple[list[int | None], bool]:
    """The input's shape (``None`` where open) and whether its colours come last."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in constants]
    if len(inputs) != 1:
        raise UserError(f"encoder {path}: takes {[info.name for info in inputs]}; it must take one image tensor")
    shape = _shape(inputs[0])
    if shape is not None and len(shape) == 4:
        if shape[1] == 3 or (shape[1] is None and shape[3] != 3):
            return shape, False
        if shape[3] == 3:
            return shape, True
    raise UserError(
        f"encoder {path}: input '{inputs[0].name}' is {shape}; "
        "it must be (n, 3, height, width) or (n, height, width, 3)"
    )


def _shape(info: onnx.ValueInfoProto) -> list[int | None] | None:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in tensor.shape.dim]


def _inferred(model: onnx.ModelProto, path: Path, name: str) -> list[int | None] | None:
    """The shape of a tensor inside the graph. Raises ``UserError`` where the graph has no such tensor."""
    import onnx

    tensors = {result for node in model.graph.node for result in node.output if result}
    if name not in tensors:
        outputs = [info.name for info in model.graph.output]
        raise UserError(
            f"encoder {path}: has no tensor {name!r}{did_you_mean(name, tensors)}; its outputs: {', '.join(outputs)}"
        )
    seen = onnx.shape_inference.infer_shapes(model)
    for info in (*seen.graph.output, *seen.graph.value_info):
        if info.name == name and (shape := _shape(info)) is not None:
            return shape
    return None


def rank_of(model: onnx.ModelProto, path: Path, name: str) -> int:
    """How many axes a tensor has: 2 or 4, 2 where it cannot be inferred. Raises ``UserError`` for others."""
    shape = _inferred(model, path, name)
    if shape is None:
        return 2  # the check after export runs the graph, and finds out
    if len(shape) not in (2, 4):
        raise UserError(
            f"encoder {path}: '{name}' has {len(shape)} axes; name as 'output' a tensor (n, dim) or (n, dim, h, w)"
        )
    return len(shape)


def _output_dim(model: onnx.ModelProto, path: Path, name: str) -> int | None:
    shape = _inferred(model, path, name)
    return shape[1] if shape is not None and len(shape) in (2, 4) else None
