"""Run by the archive's own Python, in it: every compiled function called once, so that its machine code travels.

It fits CPUs of this machine's kind; on others numba compiles anew, once a machine (see ``imgsearch.compiled``).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401  # what follows is what workers import: a build that lacks any of it fails here
import pandas  # noqa: F401
import pyarrow.compute  # noqa: F401
from PIL import AvifImagePlugin, Image  # noqa: F401

import imgsearch.encoders.embedding
import imgsearch.encoders.runtime
import imgsearch.images.decode
import imgsearch.report.thumbnails
import imgsearch.topk.quality
from imgsearch.clusters import kmeans
from imgsearch.clusters.seeding import initial_centroids
from imgsearch.duplicates import pairs
from imgsearch.images import resampling
from imgsearch.topk import int8
from imgsearch.topk.score import paired_scores
from imgsearch.topk.topk import RunningTopK


def unit_rows(n: int, writable: bool = True) -> np.ndarray:
    """(n, 32) float32 rows; Arrow's buffers cannot be written to, which is another type to numba."""
    rows = np.random.default_rng(n).normal(size=(n, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows.setflags(write=writable)
    return rows


def search() -> None:
    """Both engines, over galleries and ids as they come from Arrow and as NumPy makes them."""
    for engine in ("int8", "float32") if int8.supported() else ("float32",):
        for writable in (True, False):
            gallery, ids = unit_rows(3000, writable), np.arange(3000)
            ids.setflags(write=writable)
            running = RunningTopK(unit_rows(40, writable), 5, engine)
            running.update(gallery, ids, np.arange(40), 0.1)
            running.result()


def main() -> None:
    """Each room's kernels."""
    search()
    rows = unit_rows(400)
    paired_scores(rows, rows)
    rng = np.random.default_rng(0)
    for batch in (rows, unit_rows(400, False)):
        centroids = initial_centroids(batch, 4, rng)
        kmeans.partial(batch, centroids)
        kmeans.assign(batch, centroids)
    ids = np.arange(len(rows))
    pairs.group(len(rows), pairs.pairs_above(rows, ids, rows, ids, 0.3))
    picture = rng.integers(0, 256, (96, 120, 4), np.uint8)
    resampling.resample(picture, (40, 30), Image.Resampling.BICUBIC, (0, 0, 120, 96))


def without_addresses(content: bytes) -> bytes:
    """numba notes where in this process's memory a function lay: in a comment, the one thing that differs each time."""
    return re.sub(rb"(?<= at 0x)[0-9a-f]+(?=>)", lambda place: b"0" * len(place[0]), content)


if __name__ == "__main__":
    main()
    for path in Path(imgsearch.__file__).parent.rglob("*.nbc"):
        path.write_bytes(without_addresses(path.read_bytes()))
