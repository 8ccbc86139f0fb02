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
from imgsearch.encoders.region_network import RegionNetwork
from imgsearch.encoders.regions import Regions, joined, placed
from imgsearch.encoders.runtime import BATCH, Runtime
from imgsearch.errors import ImageError
from imgsearch.images.decode import Decoded, DecodeLimits, decode_views
from imgsearch.images.quality import quality_batch
from imgsearch.lake.isolation import OUT_OF_MEMORY
from imgsearch.vectors import Matrix

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # left to itself a decoder takes every core; here tasks share them

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Source = Callable[[], bytes]  # gives a file's bytes, or raises ImageError


class Embedded(NamedTuple):
    """A batch of n files. Row i of ``embeddings`` and ``quality`` means nothing where ``errors[i]`` is set.

    ``embeddings``: (n, dim) float32, unit rows. ``quality``: (n, 4) float32, see ``quality_batch``. ``thumbnails``: n
    JPEGs, ``None`` where none was asked for or the file could not be decoded. ``regions``: where the runtime is a
    ``RegionNetwork``; their boxes are shares of the picture as displayed.
    """

    embeddings: Matrix
    quality: NDArray[np.float32]
    errors: list[ImageError | None]
    thumbnails: list[bytes | None]
    regions: Regions | None = None


def embed_files(
    sources: Iterable[Source],
    runtime: Runtime,
    preprocessing: Preprocessing,
    dim: int,
    limits: DecodeLimits,
    n_threads: int = 1,
    *,
    thumbnails: bool = False,
) -> Embedded:
    """Read, decode and embed files; whatever is wrong with one is in ``errors`` and costs the others nothing.

    At most ``BATCH`` decoded images (of the network's size) are held at once, and ``n_threads`` files being decoded.
    With more than one thread the next files are decoded while the network runs. ``thumbnails``: make them too.
    """
    detail = runtime.detail if isinstance(runtime, RegionNetwork) else None
    decoded = _in_order(partial(_pixels, preprocessing, limits, thumbnails, detail), iter(sources), n_threads)
    chunks = [_embed_chunk([], runtime, dim)]
    while chunk := list(islice(decoded, BATCH)):
        chunks.append(_embed_chunk(chunk, runtime, dim))
    embeddings, quality, errors, small, regions = zip(*chunks, strict=True)
    return Embedded(
        np.concatenate(embeddings), np.concatenate(quality), list(chain.from_iterable(errors)),
        list(chain.from_iterable(small)), joined(regions),
    )  # fmt: skip


def _pixels(
    preprocessing: Preprocessing, limits: DecodeLimits, thumbnails: bool, detail: tuple[int, int] | None, source: Source
) -> Decoded | ImageError:
    """A file's pixels as the network takes them, its thumbnail and its detail, or what is wrong with it."""
    size = (preprocessing.height, preprocessing.width)
    how = (limits, preprocessing.resample, preprocessing.fit, preprocessing.resize_to)
    try:
        return decode_views(source(), size, *how, thumbnail=thumbnails, detail=detail)
    except ImageError as e:
        return e
    except MemoryError:
        return ImageError(OUT_OF_MEMORY, "it does not fit into the worker's memory")


def _embed_chunk(chunk: Sequence[Decoded | ImageError], runtime: Runtime, dim: int) -> Embedded:
    """The network over the decoded images of a chunk."""
    rows, marks = np.zeros((len(chunk), dim), np.float32), np.zeros((len(chunk), 4), np.float32)
    pictures = {i: decoded for i, decoded in enumerate(chunk) if not isinstance(decoded, ImageError)}
    regions = runtime.no_regions(len(chunk)) if isinstance(runtime, RegionNetwork) else None
    if pictures:
        good, pixels = list(pictures), np.stack([decoded.pixels for decoded in pictures.values()])
        if isinstance(runtime, RegionNetwork) and regions is not None:
            details = np.stack([decoded.detail for decoded in pictures.values()])  # type: ignore[misc]
            rows[good], some = runtime.with_regions(pixels, details)
            regions.boxes[good] = placed(some.boxes, [decoded.frame for decoded in pictures.values()])
            regions.embeddings[good] = some.embeddings
        else:
            rows[good] = runtime(pixels)
        marks[good] = quality_batch(pixels)
    errors = [d if isinstance(d, ImageError) else _unusable(row) for d, row in zip(chunk, rows, strict=True)]
    return Embedded(rows, marks, errors, [None if isinstance(d, ImageError) else d.thumbnail for d in chunk], regions)


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
