"""From files to embeddings: decode and network, fused, a few images in memory at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import NamedTuple, TypeVar

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

Item = TypeVar("Item")
Answer = TypeVar("Answer")
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
    decoded = _in_order(partial(_pixels, preprocessing, limits), iter(sources), n_threads)
    chunks = [_embed_chunk([], runtime, dim)]
    while chunk := list(islice(decoded, BATCH)):
        chunks.append(_embed_chunk(chunk, runtime, dim))
    embeddings, quality, errors = zip(*chunks, strict=True)
    return Embedded(np.concatenate(embeddings), np.concatenate(quality), list(chain.from_iterable(errors)))


def _pixels(preprocessing: Preprocessing, limits: DecodeLimits, source: Source) -> NDArray[np.uint8] | ImageError:
    """A file's pixels as the network takes them, or what is wrong with it."""
    size = (preprocessing.height, preprocessing.width)
    try:
        return decode(source(), size, limits, preprocessing.resample, preprocessing.fit, preprocessing.resize_to)
    except ImageError as e:
        return e
    except MemoryError:
        return ImageError(OUT_OF_MEMORY, "it does not fit into the worker's memory")


def _embed_chunk(chunk: Sequence[NDArray[np.uint8] | ImageError], runtime: Runtime, dim: int) -> Embedded:
    """The network over the decoded images of a chunk."""
    rows, marks = np.zeros((len(chunk), dim), np.float32), np.zeros((len(chunk), 4), np.float32)
    pictures = {i: pixels for i, pixels in enumerate(chunk) if not isinstance(pixels, ImageError)}
    if pictures:
        good, pixels = list(pictures), np.stack(list(pictures.values()))
        rows[good] = runtime(pixels)
        marks[good] = quality_batch(pixels)
    answers = zip(chunk, rows, strict=True)
    return Embedded(rows, marks, [p if isinstance(p, ImageError) else _unusable(row) for p, row in answers])


def _unusable(row: NDArray[np.float32]) -> ImageError | None:
    """An embedding without direction can be compared with nothing (and MLlib's cosine refuses zero vectors)."""
    if np.isfinite(row).all() and row.any():
        return None
    return ImageError("no_direction", "the network's answer for this image is zero or not a number")


def _in_order(function: Callable[[Item], Answer], items: Iterator[Item], n_threads: int) -> Iterator[Answer]:
    """``map`` with up to ``n_threads`` calls in flight; Pillow's decoders release the interpreter's lock."""
    if n_threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Answer]] = deque(pool.submit(function, item) for item in islice(items, n_threads + BATCH))
        while waiting:
            done = waiting.popleft().result()
            for item in islice(items, 1):
                waiting.append(pool.submit(function, item))
            yield done
