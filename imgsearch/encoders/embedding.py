"""From files to embeddings: decode and network, fused, a few images in memory at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.runtime import BATCH, Runtime
from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits, decode
from imgsearch.images.quality import quality_batch
from imgsearch.lake.isolation import OUT_OF_MEMORY
from imgsearch.vectors import Matrix

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # left to itself a decoder takes every core; here tasks share them

Source = Callable[[], bytes]  # gives a file's bytes, or raises ImageError


class Embedded(NamedTuple):
    """A batch of n files. Row i of ``embeddings`` and ``quality`` means nothing where ``errors[i]`` is set.

    ``embeddings``: (n, dim) float32, unit rows. ``quality``: (n, 4) float32, see ``quality_batch``.
    """

    embeddings: Matrix
    quality: NDArray[np.float32]
    errors: list[ImageError | None]


def embed_files(
    sources: Iterable[Source],
    runtime: Runtime,
    preprocessing: Preprocessing,
    dim: int,
    limits: DecodeLimits,
    n_threads: int = 1,
) -> Embedded:
    """Read, decode and embed files; whatever is wrong with one is in ``errors`` and costs the others nothing.

    At most ``BATCH`` decoded images (of the network's size) are held at once, and ``n_threads`` files being decoded.
    With more than one thread the next files are decoded while the network runs.
    """
    size = (preprocessing.height, preprocessing.width)

    def pixels_of(source: Source) -> NDArray[np.uint8] | ImageError:
        try:
            return decode(source(), size, limits, preprocessing.resample, preprocessing.fit, preprocessing.resize_to)
        except ImageError as e:
            return e
        except MemoryError:
            return ImageError(OUT_OF_MEMORY, "it does not fit into the worker's memory")

    decoded = _in_order(pixels_of, iter(sources), n_threads)
    embeddings: list[Matrix] = []
    quality: list[NDArray[np.float32]] = []
    errors: list[ImageError | None] = []
    while chunk := list(islice(decoded, BATCH)):
        good = [i for i, pixels in enumerate(chunk) if not isinstance(pixels, ImageError)]
        rows = np.zeros((len(chunk), dim), np.float32)
        marks = np.zeros((len(chunk), 4), np.float32)
        if good:
            pixels = np.stack([chunk[i] for i in good])
            rows[good] = runtime(pixels)
            marks[good] = quality_batch(pixels)
        embeddings.append(rows)
        quality.append(marks)
        errors += [
            pixels if isinstance(pixels, ImageError) else _unusable(row)
            for pixels, row in zip(chunk, rows, strict=True)
        ]
    if not errors:
        return Embedded(np.empty((0, dim), np.float32), np.empty((0, 4), np.float32), [])
    return Embedded(np.concatenate(embeddings), np.concatenate(quality), errors)


def _unusable(row: NDArray[np.float32]) -> ImageError | None:
    """An embedding without direction can be compared with nothing (and MLlib's cosine refuses zero vectors)."""
    if np.isfinite(row).all() and row.any():
        return None
    return ImageError("no_direction", "the network's answer for this image is zero or not a number")


def _in_order(function: Callable, items: Iterator, n_threads: int) -> Iterator:
    """``map`` with up to ``n_threads`` calls in flight; Pillow's decoders release the interpreter's lock."""
    if n_threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future] = deque(pool.submit(function, item) for item in islice(items, n_threads + BATCH))
        while waiting:
            done = waiting.popleft().result()
            for item in islice(items, 1):
                waiting.append(pool.submit(function, item))
            yield done
