"""The network at work: a graph as bytes → a function from pixels to embeddings, one a Python worker.

Executors import ONNX Runtime here and never torch (9 s and 950 MB against 0.3 s and tens of MB).
"""

from __future__ import annotations

import io
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.extras import how_to_get
from imgsearch.encoders.side_by_side import side_by_side, unpack_graphs
from imgsearch.errors import UserError
from imgsearch.vectors import Matrix

Pixels = NDArray[np.uint8]
BATCH = 2  # images a run: the most images a second on one core, and the least memory (see benchmarks)


class Runtime(Protocol):
    """``pixels`` uint8 (n, height, width, 3), RGB, any n → float32 (n, dim), unit rows (an all-zero row stays zero)."""

    def __call__(self, pixels: Pixels) -> Matrix:
        """The embeddings of these images."""


def load_runtime(graph: bytes, encoder: Encoder, n_threads: int) -> Runtime:
    """The encoder's runtime over the bytes that ``export_graph`` made, using ``n_threads`` threads.

    Raises ``UserError`` when the runtime's package is missing here or does not take the graph.
    """
    if encoder.parts:
        graphs = zip(unpack_graphs(graph), encoder.parts, strict=True)
        networks = [load_runtime(own, part, n_threads) for own, part in graphs]
        return _checked(encoder, side_by_side(networks, [part.preprocessing for part in encoder.parts]), BATCH)
    if encoder.runtime == "openvino":
        return _checked(encoder, _openvino(graph, encoder, n_threads), BATCH)
    if encoder.runtime == "torch":
        return _checked(encoder, _torch(graph, encoder), BATCH)
    return _onnx(graph, encoder, n_threads)


def reference_runtime(encoder: Encoder) -> Runtime:
    """Plain torch in float32, what every faster runtime is compared with (imports torch)."""
    import torch

    from imgsearch.encoders.networks import embedding_network

    network = embedding_network(encoder.backbone, encoder.preprocessing, encoder.pooling)

    def run(pixels: Pixels) -> Matrix:
        with torch.inference_mode():
            return network(torch.from_numpy(pixels)).numpy()

    return _checked(encoder, run, BATCH)


def onnx_session(graph: bytes, encoder: Encoder, n_threads: int) -> Any:
    """ONNX Runtime's session over a graph, with ``n_threads`` threads. Raises ``UserError`` for one that it refuses."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other tasks need the core
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception
        raise UserError(
            f"encoder {encoder.name}: ONNX Runtime does not take its graph ({_first_line(error)})"
        ) from None


def _onnx(graph: bytes, encoder: Encoder, n_threads: int) -> Runtime:
    session = onnx_session(graph, encoder, n_threads)
    image, output = session.get_inputs()[0], session.get_outputs()[0].name
    fixed = image.shape[0] if isinstance(image.shape[0], int) else None

    def run(pixels: Pixels) -> Matrix:
        n = len(pixels)
        if fixed and n < fixed:  # a graph made for one batch size: the rest is padding
            pixels = np.concatenate([pixels, np.zeros((fixed - n, *pixels.shape[1:]), np.uint8)])
        return session.run([output], {image.name: pixels})[0][:n]

    return _checked(encoder, run, fixed or BATCH)


def _openvino(graph: bytes, encoder: Encoder, n_threads: int) -> Any:
    try:
        import openvino
    except ImportError:
        raise UserError(f"on a worker, {how_to_get('openvino', f'encoder {encoder.encoder_id}')}") from None
    core = openvino.Core()
    hint = {"float32": "f32", "bf16": "bf16"}[encoder.precision]
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": n_threads, "NUM_STREAMS": 1}
    request = core.compile_model(core.read_model(graph), "CPU", settings).create_infer_request()

    def run(pixels: Pixels) -> Matrix:
        return np.array(request.infer([pixels])[0], np.float32)

    return run


def _torch(graph: bytes, encoder: Encoder) -> Any:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = torch.export.load(io.BytesIO(graph)).module()
    for node in list(network.graph.nodes):  # they pin the device and dtype of the export, which we change
        if node.target == torch.ops.aten._assert_tensor_metadata.default:
            network.graph.erase_node(node)
    network.recompile()
    network.to(device)
    lower = encoder.precision == "bf16"

    def run(pixels: Pixels) -> Matrix:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=lower):
            return network(torch.from_numpy(pixels).to(device)).float().cpu().numpy()

    return run


def _checked(encoder: Encoder, run: Any, batch: int) -> Runtime:
    """``run`` over any number of images, ``batch`` at a time, refusing pixels of another shape or dtype."""
    shape = (encoder.preprocessing.height, encoder.preprocessing.width, 3)

    def embed(pixels: Pixels) -> Matrix:
        if pixels.shape[1:] != shape or pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels are {pixels.dtype} {pixels.shape}; this encoder takes uint8 (n, {shape[0]}, {shape[1]}, 3)"
            )
        rows = np.empty((len(pixels), encoder.dim), np.float32)
        for start in range(0, len(pixels), batch):
            part = np.ascontiguousarray(pixels[start : start + batch])
            answer = run(part)
            if answer.shape != (len(part), encoder.dim):
                raise UserError(
                    f"encoder {encoder.name}: gives {answer.shape}, not {(len(part), encoder.dim)}; check its dim"
                )
            rows[start : start + len(part)] = answer
        return rows

    return embed


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
