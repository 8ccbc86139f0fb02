"""Image files opened: how large, which way up, what they may cost. No pixel is decoded here.

A file goes to the one Pillow plugin that its signature names, never through ``PIL.Image.open``: no other plugin (and
no external program such as Ghostscript) sees it. Pillow's process-wide ``MAX_IMAGE_PIXELS`` is off
while a file is opened, and as it was afterwards (``no_pillow_limit``).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import io
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from imgsearch.errors import ImageError
from imgsearch.images.costs import Cost, canvas_cost, tile_size, webp_canvas
from imgsearch.images.placement import ACROSS
from imgsearch.images.signatures import EMPTY, NOT_AN_IMAGE, UNSUPPORTED
from imgsearch.images.tiff import check_planes, mend_palette, n_pages
from imgsearch.lake.isolation import KILLED_WORKER, OUT_OF_MEMORY, TIMEOUT, WALL

TRUNCATED: Final = "truncated"
TOO_MANY_PIXELS: Final = "too_many_pixels"
DECODE_ERROR: Final = "decode_error"
REASONS: Final = (
    EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TRUNCATED, TOO_MANY_PIXELS, TIMEOUT, OUT_OF_MEMORY, DECODE_ERROR, KILLED_WORKER,
)  # fmt: skip

# Remarks of Pillow's about damaged metadata do not concern the pixels, and would be errors under `python -W error`.
warnings.filterwarnings("ignore", module=r"PIL\.")


HEIF_NEEDS: Final = (
    'HEIC files need pillow-heif; pip install "imgsearch-spark[heif]" (in a checkout: bash setup.sh extra heif), '
    "then ingest again"
)
# A few bytes of a progressive JPEG can mean another pass over the whole image; small reads keep the deadline in sight.
PROGRESSIVE_BLOCK: Final = 2048


@dataclass(frozen=True)
class Header:
    """What a file says it is. ``width`` and ``height`` in pixels, as displayed: EXIF orientation applied.

    ``n_pages``: pictures in a TIFF file, of which the first is the one that is used; 1 for all other formats.
    """

    format: str
    width: int
    height: int
    n_pages: int = 1


@dataclass(frozen=True)
class DecodeLimits:
    """What one image may cost.

    ``max_pixels`` and ``memory`` (bytes beside what the worker holds: decoder, pixels and the file itself) are asked of
    the header; ``seconds`` is CPU time of the decode. Where a worker has ``memory`` to spare, every accepted image
    decodes; the network and 640 MiB are within the 1 GB that docs/deployment.md asks for. ``apart``: every image is
    decoded in a child process, so that one which crashes its decoder is an ``ImageError('killed_worker')``.
    """

    max_pixels: int = 200_000_000
    seconds: float = 20.0
    memory: int = 640 << 20
    apart: bool = False


class DeadlineFile(io.BytesIO):
    """Bytes that can be read until a deadline: Pillow's decoders read as they go, so each read is a place to stop.

    ``seconds`` are CPU time of this thread, because a loaded machine says nothing about the image; by the clock it is
    ``WALL`` times that. It works in any thread, where a signal would not. Raises ``ImageError('timeout')`` from
    ``read``.
    """

    def __init__(self, content: bytes | memoryview, seconds: float) -> None:
        super().__init__(content)
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """All of the time again: for a child process, whose CPU time begins at zero."""
        self.deadline = time.thread_time() + self.seconds
        self.wall_deadline = time.monotonic() + WALL * self.seconds

    def read(self, size: int | None = -1, /) -> bytes:
        """As ``BytesIO.read``, while there is time."""
        self.check()
        return super().read(size)

    def again(self, content: bytes) -> DeadlineFile:
        """Other bytes under the same deadline."""
        file = DeadlineFile(content, self.seconds)
        file.deadline, file.wall_deadline = self.deadline, self.wall_deadline
        return file

    def check(self) -> None:
        """Raises ``ImageError('timeout')`` when the deadline has passed."""
        if time.thread_time() > self.deadline or time.monotonic() > self.wall_deadline:
            raise ImageError(TIMEOUT, f"not decoded within {self.seconds:g} s")


def open_image(fp: DeadlineFile, format: str, limits: DecodeLimits) -> ImageFile.ImageFile:
    """The file as a Pillow image whose pixels are not decoded yet.

    Raises ``ImageError('too_many_pixels')`` by the header: for more pixels than ``limits`` has, and for a decoder that
    would fill more memory; and whatever Pillow raises for a damaged header.
    """
    if format == "TIFF":
        quiet_libtiff()
    if format == "WEBP":  # the one reader that allocates its canvas on opening
        check_canvas(fp.getvalue(), limits)
    with no_pillow_limit():
        im = _opener(format)(fp)
    for xmp in ("xmp", "XML:com.adobe.xmp"):  # Pillow would turn a picture by it, which no browser does
        im.info.pop(xmp, None)
    if isinstance(im, TiffImagePlugin.TiffImageFile):
        check_planes(im)
        mend_palette(im)
    if "progressive" in im.info:
        im.decodermaxblock = PROGRESSIVE_BLOCK
    _check_size("image", im.size, limits.max_pixels)
    _check_size("tile", tile_size(im), limits.max_pixels)
    return im


def check_canvas(content: bytes, limits: DecodeLimits) -> Cost:
    """The cost of a WebP file before it is opened. Raises ``ImageError('too_many_pixels')``."""
    size = webp_canvas(content)
    _check_size("canvas", size, limits.max_pixels)
    return checked(canvas_cost("WEBP", size[0] * size[1], limits.seconds), "WEBP", size, content, limits)


def checked(cost: Cost, format: str, size: tuple[int, int], content: bytes, limits: DecodeLimits) -> Cost:
    """``cost``, if ``limits`` allow for it. Raises ``ImageError('too_many_pixels')``."""
    n_bytes = cost.least + len(content)
    if n_bytes > limits.memory:
        raise ImageError(
            TOO_MANY_PIXELS,
            f"{format} of {size[0]} x {size[1]} takes {n_bytes / 1e6:,.0f} MB to decode, "
            f"more than {limits.memory / 1e6:,.0f} MB",
        )
    return cost


def _check_size(what: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(TOO_MANY_PIXELS, f"the {what} of {width} x {height} is more than {max_pixels:,} pixels")
    if width * height < 1:
        raise ImageError(DECODE_ERROR, f"the {what} is {width} x {height} pixels")


def orientation(im: ImageFile.ImageFile) -> Image.Transpose | None:
    """How ``im`` must be turned to be displayed, by EXIF; ``None`` if it already stands right.

    Pillow's TIFF reader and pillow-heif turn the image themselves.
    """
    if im.format in ("TIFF", "HEIF"):
        return None
    # PNG's own getexif decodes the image to look for EXIF behind the pixels
    exif = Image.Image.getexif(im)
    return _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))


def header_of(im: ImageFile.ImageFile, format: str, content: bytes | memoryview) -> Header:
    """The header of an opened image, and of its file's bytes."""
    across = orientation(im) in ACROSS
    width, height = (im.height, im.width) if across else im.size
    return Header(format, width, height, n_pages(bytes(content)) if format == "TIFF" else 1)


@functools.cache
def quiet_libtiff() -> None:
    """Stops libtiff from writing every fault of a file to stderr: Pillow silences its warnings, not its errors.

    Done once a process, in the copy of the library that Pillow has loaded; without effect where that is not found.
    """
    with contextlib.suppress(OSError, AttributeError):
        paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libtiff" in line}
        for path in paths:
            ctypes.CDLL(path).TIFFSetErrorHandler(None)


@contextlib.contextmanager
def no_pillow_limit() -> Iterator[None]:
    """Pillow's own pixel limit off while any thread is in here: ``DecodeLimits`` is the limit that holds."""
    with _limit_lock:
        if not _limit_holders:
            _limit_saved.append(Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
        _limit_holders.append(None)
    try:
        yield
    finally:
        with _limit_lock:
            _limit_holders.pop()
            if not _limit_holders:
                Image.MAX_IMAGE_PIXELS = _limit_saved.pop()


def _forget_holders() -> None:
    """In a child process there is one thread, and it is in no block of another's."""
    global _limit_lock
    _limit_lock = threading.Lock()


_limit_lock = threading.Lock()
os.register_at_fork(after_in_child=_forget_holders)
_limit_holders: list[None] = []
_limit_saved: list[int | None] = []

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _opener(format: str) -> Callable[[DeadlineFile], ImageFile.ImageFile]:
    if format == "HEIF":
        try:
            plugin = importlib.import_module("pillow_heif.as_plugin")
        except ImportError:
            raise ImageError(UNSUPPORTED, HEIF_NEEDS) from None
        return plugin.HeifImageFile
    return _OPENERS[format]


_OPENERS: dict[str, Callable[[DeadlineFile], ImageFile.ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
