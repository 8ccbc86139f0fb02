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
