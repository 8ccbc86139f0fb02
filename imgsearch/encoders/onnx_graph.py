"""A user's own ``.onnx`` graph: what it takes and gives; our preprocessing, pooling and unit length around it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.graph_ends import INPUT, OUTPUT, embedding_of_maps, planes_of_pixels
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
    model = _read(path, load_tensors=False)
    digest = hashlib.sha256(file_sha256(path).encode())
    for name in sorted(_external_files(model)):
        digest.update(file_sha256(path.parent / name).encode())
    shape, channels_last = _image_input(model, path)
    sides = shape[1:3] if channels_last else shape[2:4]
    size = (sides[0], sides[1]) if sides[0] is not None and sides[1] is not None else None
    taken = output or model.graph.output[0].name
    return Described(digest.hexdigest(), size, taken, _output_dim(model, path, taken))


def with_preprocessing(encoder: Encoder) -> bytes:
    """The user's graph as one of ours: ``pixels`` uint8 (n, h, w, 3) → ``embedding`` float32 (n, dim), unit rows.

    A graph made for one fixed batch size keeps it; the runtime pads. Raises ``UserError`` when the named tensor is
    neither (n, dim) nor (n, dim, h, w).
    """
    import onnx

    path = Path(encoder.backbone.weights)
    model = _read(path, load_tensors=True)
    given, (shape, channels_last) = _input(model), _image_input(model, path)
    element = given.type.tensor_type.elem_type
    taken = encoder.backbone.output or model.graph.output[0].name
    _keep_only(model, taken)
    graph, prep = model.graph, encoder.preprocessing
    batch = shape[0] if isinstance(shape[0], int) else "n"
    rank = _rank(model, path, taken)
    if rank == 2 and encoder.pooling != "avg":
        raise UserError.option("pooling", encoder.pooling, f"'{taken}' of {path} is pooled already; use avg")
    _add(graph, planes_of_pixels(prep, given.name, channels_last, element), first=True)
    _add(graph, embedding_of_maps(taken, rank, encoder.pooling), first=False)
    pixels = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, [batch, prep.height, prep.width, 3])
    embedding = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [batch, encoder.dim])
    others = [info for info in graph.input if info.name != given.name]
    for held, wanted in ((graph.input, [pixels, *others]), (graph.output, [embedding])):
        del held[:]
        held.extend(wanted)
    del graph.value_info[:]
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:  # protobuf: more than 2 GiB
        raise UserError(f"encoder {path}: too large for one graph ({error})") from None


def _read(path: Path, *, load_tensors: bool) -> onnx.ModelProto:
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


def _input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(info for info in model.graph.input if info.name not in constants)


def _image_input(model: onnx.ModelProto, path: Path) -> tuple[list[int | None], bool]:
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
        f"encoder {path}: input '{inputs[0].name}' is {shape}; wanted: (n, 3, height, width) or (n, height, width, 3)"
    )


def _shape(info: onnx.ValueInfoProto) -> list[int | None] | None:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None for side in tensor.shape.dim]


def _inferred(model: onnx.ModelProto, path: Path, name: str) -> list[int | None] | None:
    """The shape of a tensor inside the graph. Raises ``UserError`` where the graph has no such tensor."""
    import onnx

    known = {result for node in model.graph.node for result in node.output if result}
    if name not in known:
        outputs = [info.name for info in model.graph.output]
        raise UserError(
            f"encoder {path}: has no tensor {name!r}{did_you_mean(name, known)}; its outputs: {', '.join(outputs)}"
        )
    seen = onnx.shape_inference.infer_shapes(model)
    for info in (*seen.graph.output, *seen.graph.value_info):
        if info.name == name and (shape := _shape(info)) is not None:
            return shape
    return None


def _rank(model: onnx.ModelProto, path: Path, name: str) -> int:
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


def _keep_only(model: onnx.ModelProto, wanted: str) -> None:
    """Drops the nodes that ``wanted`` does not need (what a classifier does after its features, say)."""
    needed, kept = {wanted}, []
    for node in reversed(model.graph.node):  # a graph lists its nodes in the order they run
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(name for attribute in node.attribute for name in _names_inside(attribute))
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)


def _names_inside(attribute: onnx.AttributeProto) -> list[str]:
    """Names that the branches of an If or Loop use from outside."""
    graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    nodes = [node for graph in graphs for node in graph.node]
    inner = [name for node in nodes for held in node.attribute for name in _names_inside(held)]
    return [name for node in nodes for name in node.input] + inner


def _add(graph: onnx.GraphProto, made: list[Any], *, first: bool) -> None:
    import onnx

    nodes = [item for item in made if isinstance(item, onnx.NodeProto)]
    graph.initializer.extend(item for item in made if isinstance(item, onnx.TensorProto))
    kept = [*nodes, *graph.node] if first else [*graph.node, *nodes]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
