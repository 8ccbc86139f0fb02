"""A float32 graph as an int8 one, for ONNX Runtime: what ``--precision int8`` is.

Static, by example: the range of every tensor is read off a few pictures, least to greatest value. Weights are signed
and scaled per channel, activations unsigned (U8S8): 1.4 times as fast as float32 where the CPU has VNNI, S8S8 was
1.1 times (EfficientNet-Lite0, one thread). Additions and activations between convolutions are quantised too: with the
convolutions alone every tensor would go back to float32 in between, which is slower and loses more.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PICTURES = files("imgsearch").joinpath(
    "encoders", "int8_pictures.npz"
)  # JPEG files laid end to end, and where each ends
RECIPE = "u8s8 per-channel minmax 1"  # part of encoder_id; its number is raised when anything here changes
OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Clip", "Relu", "MaxPool"]
STEP = 4  # pictures a run


@cache
def pictures_sha256() -> str:
    """The fingerprint of the calibration pictures, hex; part of ``encoder_id``."""
    return hashlib.sha256(PICTURES.read_bytes()).hexdigest()


def calibration_pictures(height: int, width: int) -> NDArray[np.uint8]:
    """The pictures that int8 reads its ranges off, (48, height, width, 3) uint8: drawn once, the same for everyone."""
    with np.load(io.BytesIO(PICTURES.read_bytes())) as stored:
        jpegs, ends = stored["jpegs"], stored["ends"]
    starts = [0, *ends[:-1]]
    pictures = [Image.open(io.BytesIO(jpegs[a:b].tobytes())).convert("RGB") for a, b in zip(starts, ends, strict=True)]
    return np.stack([np.asarray(p.resize((width, height), Image.Resampling.BICUBIC)) for p in pictures])


def quantize(graph: bytes, pictures: NDArray[np.uint8]) -> bytes:
    """The graph in int8 (QDQ operators), same input and output.

    ``pictures``: (n, height, width, 3) uint8 of the graph's size, n ≥ 1: what the ranges are read off. Raises
    whatever ONNX Runtime raises for a graph that it cannot quantise.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name, batch = _input(onnx.load_from_string(graph))

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._runs = _runs(pictures, batch)

        def get_next(self) -> Any:
            run = next(self._runs, None)
            return None if run is None else {name: run}

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, made = (str(Path(folder, word)) for word in ("source.onnx", "prepared.onnx", "made.onnx"))
        Path(source).write_bytes(graph)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared, made, Pictures(), quant_format=QuantFormat.QDQ, op_types_to_quantize=OPERATORS, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return Path(made).read_bytes()


def _input(model: Any) -> tuple[str, int | None]:
    """The name of the graph's input, and its batch size where that is fixed."""
    info = model.graph.input[0]
    first = info.type.tensor_type.shape.dim[0]
    return info.name, first.dim_value if first.HasField("dim_value") and first.dim_value > 0 else None


def _runs(pictures: NDArray[np.uint8], batch: int | None) -> Iterator[NDArray[np.uint8]]:
    step = batch or STEP
    for start in range(0, len(pictures), step):
        run = pictures[start : start + step]
        missing = (batch or 0) - len(run)
        yield np.concatenate([run, np.repeat(run[-1:], missing, axis=0)]) if missing > 0 else run
