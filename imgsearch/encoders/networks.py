"""Networks of torch, without their last layer: pixels in, unit embeddings out. Imports torch inside functions only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgsearch.encoders import weights as files
from imgsearch.encoders.backbone import Backbone, Preprocessing, Source
from imgsearch.encoders.graph_ends import GEM_FLOOR, GEM_P, NORM_FLOOR
from imgsearch.encoders.torchvision_networks import network as network_named
from imgsearch.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

TRAINING_ONLY = ("aux1.", "aux2.", "AuxLogits.")  # heads of GoogLeNet and Inception that only training uses


def embedding_network(backbone: Backbone, preprocessing: Preprocessing, pooling: str) -> nn.Module:
    """A module in evaluation mode: ``pixels`` uint8 (n, height, width, 3) → embeddings float32 (n, dim), unit rows.

    Raises ``UserError`` when the weights do not fit the network, or it has no such layer, or ``pooling`` cannot be
    put into it. ONNX graphs are no modules: see ``onnx_graph``.
    """
    import torch
    from torch import nn

    mean = torch.tensor(preprocessing.mean, dtype=torch.float32) * 255
    std = torch.tensor(preprocessing.std, dtype=torch.float32) * 255

    class EmbeddingNetwork(nn.Module):
        scale: Tensor
        shift: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.body = _body(backbone, pooling)
            self.register_buffer("scale", (1 / std).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("shift", (-mean / std).view(1, 3, 1, 1), persistent=False)

        def forward(self, pixels: Tensor) -> Tensor:
            planes = pixels.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift
            rows = _as_rows(self.body(planes), pooling)
            return rows / rows.norm(dim=1, keepdim=True).clamp_min(NORM_FLOOR)

    network = EmbeddingNetwork().requires_grad_(False)
    network.training = False  # not eval(): an exported program, in evaluation mode for good, refuses to be told
    return network


def measure_dim(backbone: Backbone, preprocessing: Preprocessing) -> int:
    """The size of the embedding, from one run on a black image."""
    import torch

    network = embedding_network(backbone, preprocessing, "avg")
    with torch.inference_mode():
        black = torch.zeros((1, preprocessing.height, preprocessing.width, 3), dtype=torch.uint8)
        try:
            return int(network(black).shape[1])
        except UserError:
            raise
        except Exception as error:  # traced for another size, of other inputs, or forged
            raise _does_not_run(backbone, preprocessing, error) from None


def _does_not_run(backbone: Backbone, preprocessing: Preprocessing, error: Exception) -> UserError:
    where = f"{preprocessing.height} x {preprocessing.width} RGB images"
    return UserError(
        f"encoder {backbone.weights}: does not run on {where} ({_last_line(error)}); check size in its TOML"
    )


def _last_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[-1].strip()


def _as_rows(features: Tensor, pooling: str) -> Tensor:
    """(n, dim) as it is; a feature map (n, dim, h, w) pooled."""
    if isinstance(features, list | tuple):
        features = features[0]
    if features.ndim == 4:
        features = _pool(features, pooling)
    if features.ndim != 2:
        shape = tuple(features.shape)
        raise UserError(f"the network gives an array of shape {shape}; it must be (n, dim) or (n, dim, height, width)")
    return features.float()


def _pool(features: Tensor, pooling: str) -> Tensor:
    if pooling == "max":
        return features.amax((2, 3))
    if pooling == "gem":
        return features.clamp_min(GEM_FLOOR).pow(GEM_P).mean((2, 3)).pow(1 / GEM_P)
    return features.mean((2, 3))


def _body(backbone: Backbone, pooling: str) -> nn.Module:
    network: Any
    if backbone.family in ("script", "program"):
        network = files.load_network(Path(backbone.weights), backbone.family)
    elif backbone.family == "timm":
        network = _timm_network(backbone.architecture)
    else:
        network = _architecture(backbone)
    if backbone.family != "program":
        network.eval()
    if backbone.pool_layer and pooling != "avg":
        _set_layer(network, backbone.pool_layer, _pool_module(pooling), backbone)
    elif pooling != "avg" and backbone.family not in ("script", "program"):
        raise UserError.option("pooling", pooling, f"{backbone.architecture} has no pooling layer to replace; use avg")
    return network


def _pool_module(pooling: str) -> nn.Module:
    from torch import nn

    class Pool(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return _pool(features, pooling)[:, :, None, None]

    return Pool()


def _architecture(backbone: Backbone) -> nn.Module:
    """The named network, its last layer an identity, with the weights of the file."""
    from torch import nn

    tensors = files.load_state_dict(Path(backbone.weights))
    lite = backbone.family == "lite"
    classifier = ("_fc" if lite else network_named(backbone.architecture).last_layer) + ".weight"
    n_classes = len(tensors[classifier]) if classifier in tensors else 1000
    if lite:
        from efficientnet_lite_pytorch import EfficientNet

        network: nn.Module = EfficientNet.from_name(backbone.architecture, num_classes=n_classes)
    else:
        from torchvision.models import get_model

        flags: dict[str, Any] = {"num_classes": n_classes}
        if backbone.architecture in ("googlenet", "inception_v3"):  # as torchvision builds them for its own weights
            flags |= {"transform_input": True, "aux_logits": False, "init_weights": False}
        network = get_model(backbone.architecture, weights=None, **flags)
    if backbone.last_layer:
        _set_layer(network, backbone.last_layer, nn.Identity(), backbone)
    left_out = (*TRAINING_ONLY, *([backbone.last_layer + "."] if backbone.last_layer else []))
    used = {name: value for name, value in tensors.items() if not name.startswith(left_out)}
    versions = getattr(tensors, "_metadata", None) or getattr(network.state_dict(), "_metadata", None)
    _load(network, files.with_metadata(used, versions), backbone)
    return network


def _load(network: nn.Module, tensors: dict[str, Tensor], backbone: Backbone) -> None:
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except (RuntimeError, ValueError) as error:  # a tensor of another shape; a version that the network refuses
        raise UserError(f"weights {backbone.weights} do not fit {backbone.architecture}: {_last_line(error)}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    for names, problem in ((missing, "lacks"), (unexpected, "has besides")):
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise UserError(
                f"weights {backbone.weights} do not fit {backbone.architecture}: the file {problem} {shown}"
            )


def _set_layer(network: nn.Module, name: str, layer: nn.Module, backbone: Backbone) -> None:
    modules = dict(network.named_modules())
    if name not in modules:
        raise UserError(
            f"{backbone.architecture or backbone.weights} has no layer {name!r}{did_you_mean(name, modules)}"
        )
    parent, _, leaf = name.rpartition(".")
    setattr(modules[parent], leaf, layer)


def _timm_network(name: str) -> Any:
    import timm

    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"encoder timm:{name}: timm could not make it ({str(error).strip().splitlines()[0]})") from None


def timm_source(name: str) -> Source:
    """A network of timm's with its published weights and its own preprocessing (imports torch and timm)."""
    from timm.data import resolve_model_data_config

    architecture = name.removeprefix("timm:")
    network = _timm_network(architecture)
    config = resolve_model_data_config(network)
    _, height, width = config["input_size"]
    crop = max(height, width)
    resize_to = max(crop, round(crop / config.get("crop_pct", 1.0)))
    resample = config["interpolation"] if config["interpolation"] in ("bicubic", "bilinear") else "bicubic"
    mean, std = ((float(red), float(green), float(blue)) for red, green, blue in (config["mean"], config["std"]))
    preprocessing = Preprocessing(height, width, resample, "crop", resize_to, mean, std)
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return Source(Backbone("timm", architecture, "timm", digest.hexdigest()), preprocessing, int(network.num_features))
