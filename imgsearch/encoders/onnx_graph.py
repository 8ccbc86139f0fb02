"""A user's own ``.onnx`` graph with our preprocessing, pooling and unit length around it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.graph_ends import INPUT, OUTPUT, embedding_of_maps, planes_of_pixels
from imgsearch.encoders.onnx_file import graph_input, image_input, rank_of, read
from imgsearch.errors import UserError

if TYPE_CHECKING:
    import onnx


def with_preprocessing(encoder: Encoder) -> bytes:
    """The user's graph as one of ours: ``pixels`` uint8 (n, h, w, 3) → ``embedding`` float32 (n, dim), unit rows.

    A graph made for one fixed batch size keeps it; the runtime pads. Raises ``UserError`` when the named tensor is
    neither (n, dim) nor (n, dim, h, w).
    """
    import onnx

    path = Path(encoder.backbone.weights)
    model = read(path, load_tensors=True)
    image, (shape, channels_last) = graph_input(model), image_input(model, path)
    element = image.type.tensor_type.elem_type
    output = encoder.backbone.output or model.graph.output[0].name
    _keep_only(model, output)
    graph, prep = model.graph, encoder.preprocessing
    batch = shape[0] if isinstance(shape[0], int) else "n"
    rank = rank_of(model, path, output)
    if rank == 2 and encoder.pooling != "avg":
        raise UserError.option("pooling", encoder.pooling, f"'{output}' of {path} is pooled already; use avg")
    _add(graph, planes_of_pixels(prep, image.name, channels_last, element), first=True)
    _add(graph, embedding_of_maps(output, rank, encoder.pooling), first=False)
    pixels = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, [batch, prep.height, prep.width, 3])
    embedding = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [batch, encoder.dim])
    others = [info for info in graph.input if info.name != image.name]
    for infos, replacements in ((graph.input, [pixels, *others]), (graph.output, [embedding])):
        del infos[:]
        infos.extend(replacements)
    del graph.value_info[:]
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:  # protobuf: more than 2 GiB
        raise UserError(f"encoder {path}: too large for one graph ({error})") from None


def _keep_only(model: onnx.ModelProto, output: str) -> None:
    """Drop the nodes that ``output`` does not need (what a classifier does after its features, say).

    ``onnx.utils.Extractor`` loses what only the branches of an If or Loop use, and needs the tensor's inferred type.
    """
    needed, nodes = {output}, []
    for node in reversed(model.graph.node):  # a graph lists its nodes in the order they run
        if needed & set(node.output):
            nodes.append(node)
            needed.update(node.input)
            needed.update(name for attribute in node.attribute for name in _names_inside(attribute))
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)


def _names_inside(attribute: onnx.AttributeProto) -> list[str]:
    """Names that the branches of an If or Loop use from outside."""
    graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    nodes = [node for graph in graphs for node in graph.node]
    inner = [name for node in nodes for inside in node.attribute for name in _names_inside(inside)]
    return [name for node in nodes for name in node.input] + inner


def _add(graph: onnx.GraphProto, made: list[Any], *, first: bool) -> None:
    import onnx

    nodes = [item for item in made if isinstance(item, onnx.NodeProto)]
    graph.initializer.extend(item for item in made if isinstance(item, onnx.TensorProto))
    ordered = [*nodes, *graph.node] if first else [*graph.node, *nodes]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)
