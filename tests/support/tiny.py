"""An encoder that costs nothing, as a file of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TINY_SIDE, TINY_DIM = 16, 24


def write_tiny(path: Path, seed: int) -> str:
    """``y = |x W|`` over all pixels, as an ``.onnx`` with its TOML beside it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).normal(size=(3 * TINY_SIDE * TINY_SIDE, TINY_DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, TINY_SIDE, TINY_SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", TINY_DIM])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    path.with_suffix(".toml").write_text("mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n")
    return str(path)


def write_tiny_maps(path: Path, seed: int, toml: str = "", *, head: bool = False) -> str:
    """A convolution whose rectified map of 4 x 4 cells is the output, for the encoder to pool; an ``.onnx`` with TOML.

    ``head``: the map is averaged, and a matrix follows it.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    constants = [numpy_helper.from_array(rng.normal(size=(TINY_DIM, 3, 4, 4)).astype(np.float32), "w")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Relu", ["conv"], ["y"]),
    ]
    shape: list[str | int] = ["n", TINY_DIM, 4, 4]
    if head:
        constants.append(numpy_helper.from_array(rng.normal(size=(TINY_DIM, TINY_DIM)).astype(np.float32), "m"))
        nodes[1].output[0] = "maps"
        nodes += [
            helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "m"], ["y"]),
        ]
        shape = ["n", TINY_DIM]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, TINY_SIDE, TINY_SIDE])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "tiny maps", [image], [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    path.with_suffix(".toml").write_text(f"mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n{toml}")
    return str(path)
