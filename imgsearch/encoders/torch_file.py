"""Weights in torch's old file format, read without torch and without running what the file says.

Before torch 1.6 a saved state dict was five pickles (a magic number, a version, the machine's sizes, the tensors, the
names of their storages), and then each storage: its length as int64, its numbers. The published EfficientNet-Lite
weights are such files. A pickle can call any function; this reader knows the four names that a state dict needs and
refuses all others.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Storage(NamedTuple):
    dtype: np.dtype[Any]
    key: str


class _Tensor(NamedTuple):
    """A view of a storage; ``offset``, ``shape`` and ``stride`` count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, storages: dict[str, bytes]) -> NDArray[Any]:
        size = self.storage.dtype.itemsize
        steps = tuple(step * size for step in self.stride)
        view = np.ndarray(self.shape, self.storage.dtype, storages[self.storage.key], self.offset * size, steps)
        return view.copy()


def _tensor(storage: _Storage, offset: int, shape: Any, stride: Any, *training: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, stride)


NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return NAMES[module, name]
        except KeyError:
            raise ValueError(f"{module}.{name} is no part of a state dict") from None

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(dtype, key)


def read_torch_file(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict by name, float32 or int64, in the file's order.

    Raises ``ValueError`` for a file of another format (a zip archive, as torch writes since 1.6), one that is cut off,
    and one that holds anything but tensors.
    """
    try:
        with open(path, "rb") as stream:
            if _Reader(stream).load() != MAGIC or _Reader(stream).load() != VERSION:
                raise ValueError("it has another format")
            machine, tensors, keys = (_Reader(stream).load() for _ in range(3))
            if not machine["little_endian"]:
                raise ValueError("it was written on a big-endian machine")
            dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
            storages = {key: _numbers(stream, dtypes[key].itemsize) for key in keys}
        return {name: tensor.array(storages) for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError) as error:
        raise ValueError(f"{path}: not a state dict of torch before 1.6 ({error})") from None


def _numbers(stream: BinaryIO, size: int) -> bytes:
    length = int.from_bytes(stream.read(8), "little") * size
    content = stream.read(length)
    if len(content) != length:
        raise EOFError("the file is cut off")
    return content
