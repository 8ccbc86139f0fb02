"""Weights of a network as files: what kind they are, which bytes they are, and loading them without running them.

A pickle can run any code while it is read. So tensors come from safetensors or from ``torch.load(weights_only=True)``,
which knows tensors and plain containers only; a file that holds more than that is refused.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import warnings
import zipfile
from collections import OrderedDict
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from imgsearch.errors import UserError

if TYPE_CHECKING:
    import torch

Kind = Literal["state_dict", "script", "program", "onnx"]
WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # in the environment: no pickle of objects, whatever is asked for
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".pt2", ".onnx")
PUBLISHED_AT = "https://download.pytorch.org/models/"
WRAPPED_UNDER = ("state_dict", "model_state_dict", "model", "model_ema")
PREFIXES = ("module.", "_orig_mod.", "model.")  # DistributedDataParallel, torch.compile, Lightning


def file_sha256(path: Path) -> str:
    """The file's sha-256, hex, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def kind_of(path: Path) -> Kind:
    """What a weights file holds, by its suffix and, for ``.pt``/``.pth``, by the names inside its zip archive.

    Raises ``UserError`` for a suffix that is not among ``SUFFIXES``.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return "onnx"
    if suffix == ".pt2":
        return "program"
    if suffix not in SUFFIXES:
        raise UserError(f"encoder {path}: {suffix or 'no suffix'} is none of {', '.join(SUFFIXES)}")
    if suffix != ".safetensors" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return "script"  # TorchScript keeps its code beside its constants
    return "state_dict"


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from ``.safetensors`` or a ``torch.save``d state dict; wrappers and their prefixes are taken off.

    A checkpoint that keeps the tensors under ``state_dict``, ``model`` or the like is opened, and a prefix that every
    name carries (``module.`` of DistributedDataParallel) is removed. Raises ``UserError`` for a pickle of objects and
    for a file that holds no tensors.
    """
    import torch

    if path.suffix.lower() == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return _without_prefix(load_file(path))
        except SafetensorError as error:
            raise UserError(f"weights {path}: not a safetensors file ({error})") from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, ... depending on the bytes
        raise _refusal(path, error) from None
    return _without_prefix(_unwrap(path, loaded))


def load_network(path: Path, kind: Literal["script", "program"]) -> Any:
    """A network with its code: TorchScript, or a program of ``torch.export``. Pickles in it are read as tensors only.

    Raises ``UserError`` for whatever torch cannot read or would have to unpickle.
    """
    import torch

    before = os.environ.get(WEIGHTS_ONLY)
    os.environ[WEIGHTS_ONLY] = "1"  # torch.export.load asks for whole objects by itself
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            return torch.jit.load(str(path), "cpu") if kind == "script" else torch.export.load(str(path)).module()  # type: ignore[no-untyped-call]
    except Exception as error:  # torch raises many kinds, depending on the bytes
        what, call = (
            ("TorchScript", "torch.jit.save") if kind == "script" else ("an exported program", "torch.export.save")
        )
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"encoder {path}: cannot be read as {what} ({reason[:200]}); write it with {call}") from None
    finally:
        logging.disable(logging.NOTSET)
        del os.environ[WEIGHTS_ONLY]
        if before is not None:
            os.environ[WEIGHTS_ONLY] = before


def _refusal(path: Path, error: Exception) -> UserError:
    reason = str(error)
    if "weights_only" in reason or "Unsupported" in reason or "GLOBAL" in reason:
        return UserError(
            f"weights {path}: it is a pickle of Python objects, which could run any code when opened: refused; "
            "save the tensors alone: torch.save(model.state_dict(), 'weights.pth'), or safetensors"
        )
    return UserError(
        f"weights {path}: cannot be read as a state dict ({reason.splitlines()[0] if reason else error!r})"
    )


def _unwrap(path: Path, loaded: Any) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(loaded, dict):
        for name in WRAPPED_UNDER:
            if isinstance(loaded.get(name), dict):
                loaded = loaded[name]
        tensors = OrderedDict((str(name), value) for name, value in loaded.items() if isinstance(value, torch.Tensor))
        if tensors:
            return with_metadata(tensors, getattr(loaded, "_metadata", None))
    raise UserError(f"weights {path}: no tensors in it; expected a state dict, torch.save(model.state_dict(), …)")


def _without_prefix(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            metadata = getattr(tensors, "_metadata", None) or {}
            tensors = with_metadata(
                OrderedDict((name.removeprefix(prefix), value) for name, value in tensors.items()),
                {f"{name}.".removeprefix(prefix).rstrip("."): value for name, value in metadata.items()} or None,
            )
    return tensors


def with_metadata(tensors: dict[str, torch.Tensor], metadata: Any) -> dict[str, torch.Tensor]:
    """A state dict with the modules' versions that torch keeps in an attribute of it (MNASNet reads them)."""
    versioned = OrderedDict(tensors)
    if metadata is not None:
        versioned._metadata = metadata  # type: ignore[attr-defined]
    return versioned


def hub_path(file: str) -> Path:
    """Where torch.hub keeps a published file: ``$TORCH_HOME``, ``$XDG_CACHE_HOME/torch`` or ``~/.cache/torch``."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints" / file


def published(file: str) -> tuple[Path, str]:
    """A file of torchvision's, from torch.hub's cache or downloaded into it, and its sha-256.

    torchvision puts the first digits of the sha-256 into the file's name (``resnet50-11ad3fa6.pth``); they are
    checked. Raises ``UserError`` when it is neither there nor to be had, or is another file.
    """
    path = hub_path(file)
    digits = path.stem.rsplit("-", 1)[-1]
    if not path.exists():
        _download(file, path, digits)
    sha256 = file_sha256(path)
    if not sha256.startswith(digits):
        raise UserError(
            f"weights {path}: its sha-256 begins with {sha256[: len(digits)]}, not {digits}: a broken download? "
            f"Remove it, or fetch {PUBLISHED_AT}{file} again"
        )
    return path, sha256


def _download(file: str, path: Path, hash_prefix: str) -> None:
    from torch.hub import download_url_to_file

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        download_url_to_file(PUBLISHED_AT + file, str(path), hash_prefix=hash_prefix, progress=False)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise UserError(
            f"weights {file} could not be downloaded ({error}); fetch {PUBLISHED_AT}{file} where there is a network "
            f"and put it at {path}"
        ) from None
