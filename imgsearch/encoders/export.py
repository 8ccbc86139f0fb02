"""An encoder as bytes: the network with preprocessing, pooling and unit length folded in, made on the driver.

The bytes are what executors get. For ONNX Runtime and OpenVINO they are an ONNX graph, for torch a ``torch.export``
archive. In each, ``pixels`` uint8 (n, height, width, 3) goes in and ``embedding`` float32 (n, dim), unit rows, comes
out, for any n.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.extras import require
from imgsearch.encoders.graph_ends import INPUT, OUTPUT
from imgsearch.encoders.lite import lite_graph
from imgsearch.encoders.networks import embedding_network
from imgsearch.encoders.onnx_graph import with_preprocessing
from imgsearch.encoders.quantization import quantize
from imgsearch.encoders.runtime import Pixels, load_runtime
from imgsearch.errors import UserError
from imgsearch.vectors import unit

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMES: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT], "opset_version": 20}
AGREEMENT = 0.9999  # least cosine between the graph and torch, at export
INT8_AGREEMENT = 0.9  # least median cosine between int8 and float32, on the pictures that int8 was fitted to


def export_graph(encoder: Encoder, pictures: Pixels | None = None) -> bytes:
    """The encoder's graph. Imports torch (seconds), except for the embedded encoder and a user's own ``.onnx``.

    ``pictures``: uint8 (n, height, width, 3), what int8 reads its ranges off; other precisions do not look at them.

    The graph has run once when it is returned, on noise; one that torch made has agreed with torch. Raises
    ``UserError`` when the network does not export or is too large for one ONNX file, naming the other runtime.
    """
    if encoder.precision == "int8":
        if pictures is None:
            raise ValueError("int8 needs pictures to read its ranges off")
        return _quantized(encoder, export_graph(replace(encoder, precision="float32")), pictures)
    graph = _without_torch(encoder)
    if graph is not None:
        _check(encoder, graph, None)
        return graph
    require("timm" if encoder.backbone.family == "timm" else "torch", f"encoder {encoder.name}")
    with _quiet():
        network = embedding_network(encoder.backbone, encoder.preprocessing, encoder.pooling)
        if encoder.runtime != "torch":
            return _export_onnx(encoder, network)
        graph = _export_program(network, _noise(encoder))
        _check(encoder, graph, network)
        return graph


def _without_torch(encoder: Encoder) -> bytes | None:
    """The graph where it needs no torch; else ``None``."""
    if encoder.runtime == "torch":
        return None
    if encoder.backbone.family == "onnx":
        return with_preprocessing(encoder)
    if encoder.backbone.family == "lite":
        try:
            return lite_graph(encoder)
        except ValueError:  # a file of one's own, in a format that torch reads
            return None
    return None


def _quantized(encoder: Encoder, graph: bytes, pictures: Pixels) -> bytes:
    """The float32 graph in int8, once it has been seen to say nearly the same."""
    try:
        with _quiet():
            made = quantize(graph, pictures)
        rows, expected = (load_runtime(g, encoder, 1)(pictures) for g in (made, graph))
    except UserError:
        raise
    except Exception as error:  # ONNX Runtime raises many kinds
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError.option("precision", "int8", f"{encoder.name} cannot be quantised ({reason})") from None
    cosine = float(np.median((rows * expected).sum(1)))
    if not cosine >= INT8_AGREEMENT:
        raise UserError.option(
            "precision", "int8", f"changes what {encoder.name} says too much (cosine {cosine:.3f}); use float32"
        )
    return made


def _noise(encoder: Encoder, n: int = 2) -> Tensor:
    import torch

    side = (n, encoder.preprocessing.height, encoder.preprocessing.width, 3)
    return torch.from_numpy(np.random.default_rng(7).integers(0, 256, side, np.uint8))


def _export_onnx(encoder: Encoder, network: nn.Module) -> bytes:
    """Traced where that works: it takes 2 s where torch.export takes 17 s, and ends in the same graph."""
    reasons = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exported.onnx")
        for export in (_traced, _exported):
            try:
                export(encoder, network, path)
                graph = _optimised(path)
                _check(encoder, graph, network)
                return graph
            except UserError:
                raise
            except Exception as error:  # tracer, exporter and ONNX Runtime raise many kinds
                reasons.append((str(error).strip() or repr(error)).splitlines()[0])
    raise UserError(f"encoder {encoder.name}: does not export to ONNX ({'; '.join(reasons)}); choose runtime torch")


def _traced(encoder: Encoder, network: nn.Module, path: Path) -> None:
    import torch

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused attention has no ONNX operator
    try:
        with torch.inference_mode():
            if encoder.backbone.family == "script":  # the exporter's own tracer stumbles over TorchScript inside
                network = torch.jit.trace(network, _noise(encoder))  # type: ignore[no-untyped-call]
            axes = {INPUT: {0: "n"}, OUTPUT: {0: "n"}}
            torch.onnx.export(network, (_noise(encoder),), str(path), dynamo=False, dynamic_axes=axes, **NAMES)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _exported(encoder: Encoder, network: nn.Module, path: Path) -> None:
    import torch

    options: dict[str, Any] = {"external_data": False, "verbose": False, **NAMES}
    torch.onnx.export(network, (_noise(encoder),), str(path), dynamo=True, dynamic_shapes=({0: "n"},), **options)


def _export_program(network: nn.Module, pixels: Tensor) -> bytes:
    import torch

    buffer = io.BytesIO()
    batch = torch.export.Dim("n", min=1, max=1024)
    torch.export.save(torch.export.export(network, (pixels,), dynamic_shapes=({0: batch},)), buffer)
    return buffer.getvalue()


def _optimised(exported: Path) -> bytes:
    """The graph with constants folded, BatchNorm and padding folded into convolutions: ONNX Runtime's first level.

    That level writes standard operators only, so the result runs on every machine and in other runtimes; the levels
    that depend on the processor are left to the session.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    path = exported.with_name("optimised.onnx")
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(str(exported), options, providers=["CPUExecutionProvider"])
    return path.read_bytes()


def _check(encoder: Encoder, graph: bytes, network: nn.Module | None) -> None:
    """The graph runs for one image and for three, gives ``dim`` finite numbers, and torch's."""
    runtime = load_runtime(graph, encoder, 1)
    pixels = np.random.default_rng(8).integers(
        0, 256, (3, encoder.preprocessing.height, encoder.preprocessing.width, 3), np.uint8
    )
    got = np.concatenate([runtime(pixels[:1]), runtime(pixels)])
    if not np.isfinite(got).all():
        raise UserError(f"encoder {encoder.name}: gives NaN or infinity for noise; are its weights sound?")
    if network is not None:
        import torch

        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels)).numpy()
        cosine = float((unit(expected) * unit(got[1:])).sum(1).min())
        least = AGREEMENT if encoder.precision == "float32" else 0.9
        if expected.any() and cosine < least:
            raise RuntimeError(f"the exported graph of {encoder.name} does not agree with torch: cosine {cosine:.6f}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print progress and warn of their own internals; none of it is for the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
