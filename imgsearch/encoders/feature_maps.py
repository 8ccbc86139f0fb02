"""The last feature map as a second output of an encoder's graph: what its pooling reads."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.graph_ends import INPUT, OUTPUT
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.region_network import MAPS, MapNetwork
from imgsearch.encoders.side_by_side import pack_graphs
from imgsearch.errors import UserError

if TYPE_CHECKING:
    import onnx

POOLS = ("GlobalAveragePool", "GlobalMaxPool")
REDUCTIONS = ("ReduceMean", "ReduceMax")
SPATIAL = ((2, 3), (-2, -1), (-1, -2))


def graph_with_maps(encoder: Encoder) -> bytes:
    """``graphs.graph_of`` with the second output ``MAPS``, (n, c, h, w) float32; of several encoders, packed.

    It takes pixels of any size where the network does. Raises ``UserError`` where the encoder has no feature map.
    """
    if encoder.parts:
        return pack_graphs([graph_with_maps(part) for part in encoder.parts])
    if encoder.runtime != "onnx":
        raise _no_maps(encoder, f"--precision {encoder.precision} runs in {encoder.runtime}; use float32 or int8")
    graph = with_maps(graph_of(encoder))
    if graph is None or not _has_maps(encoder, graph):
        raise _no_maps(encoder, "it pools no map of its picture, as transformers do not; name a convolutional network")
    freed = of_any_size(graph)
    return freed if _takes_tiles(encoder, freed) else graph


def of_any_size(graph: bytes) -> bytes:
    """An ONNX graph whose input says nothing of height and width."""
    import onnx

    model = onnx.load_from_string(graph)
    sizes = next(info for info in model.graph.input if info.name == INPUT).type.tensor_type.shape.dim[1:3]
    for size, name in zip(sizes, ("height", "width"), strict=True):
        size.dim_param = name
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def with_maps(graph: bytes) -> bytes | None:
    """An ONNX graph with the input of the last pooling before ``embedding`` as the output ``MAPS``; ``None``: no such.

    The network itself stays as it is.
    """
    import onnx

    model = onnx.load_from_string(graph)
    maps = _pooled_tensor(model)
    if maps is None:
        return None
    model.graph.node.append(onnx.helper.make_node("Identity", [maps], [MAPS]))
    info = onnx.helper.make_tensor_value_info(MAPS, onnx.TensorProto.FLOAT, [None] * 4)
    model.graph.output.append(info)
    return bytes(model.SerializeToString())


def _pooled_tensor(model: onnx.ModelProto) -> str | None:
    """What the pooling nearest to ``embedding`` reads, backwards from there, breadth first."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = _constants(model)
    waiting, seen = deque([OUTPUT]), {OUTPUT}
    while waiting:
        node = makers.get(waiting.popleft())
        if node is None:
            continue
        if node.op_type in POOLS or (node.op_type in REDUCTIONS and _axes(node, constants) in SPATIAL):
            return str(node.input[0])
        new = [name for name in node.input if name not in seen]
        seen.update(new)
        waiting.extend(new)
    return None


def _constants(model: onnx.ModelProto) -> dict[str, Any]:
    import onnx

    values = {tensor.name: tensor for tensor in model.graph.initializer}
    values |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    small = {name: tensor for name, tensor in values.items() if tensor.data_type == onnx.TensorProto.INT64}
    return {name: onnx.numpy_helper.to_array(tensor) for name, tensor in small.items()}


def _axes(node: onnx.NodeProto, constants: dict[str, Any]) -> tuple[int, ...]:
    """The axes of a reduction: an attribute, or since opset 18 an input."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return tuple(attribute.ints)
    return tuple(constants[node.input[1]].tolist()) if len(node.input) > 1 and node.input[1] in constants else ()


def _has_maps(encoder: Encoder, graph: bytes) -> bool:
    shown = encoder.preprocessing
    maps = MapNetwork(graph, encoder, 1).run(_noise(shown.height, shown.width))[1]
    return maps.ndim == 4 and min(maps.shape[2:]) > 1


def _takes_tiles(encoder: Encoder, graph: bytes) -> bool:
    """Whether the network is one for any size; some have sizes baked in."""
    try:
        network = MapNetwork(graph, encoder, 1)
        rows = network.run(_noise(*network.tile))[0]
    except Exception:  # ONNX Runtime's exceptions share no base but Exception
        return False
    return rows.shape == (2, encoder.dim) and bool(np.isfinite(rows).all())


def _noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(9).integers(0, 256, (2, height, width, 3), np.uint8)


def _no_maps(encoder: Encoder, why: str) -> UserError:
    return UserError(f"--regions: encoder {encoder.name} has no regions: {why}, such as efficientnet-lite0")
