"""Image files by their first bytes: which format, how large, which way up. No pixel is decoded here.

A file goes to the one Pillow plugin that its signature names, never through ``PIL.Image.open``: no other plugin (and
no external program such as Ghostscript) sees it, and Pillow's process-wide ``MAX_IMAGE_PIXELS`` stays untouched.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

EMPTY: Final = "empty"
NOT_AN_IMAGE: Final = "not_an_image"
UNSUPPORTED: Final = "unsupported"
TRUNCATED: Final = "truncated"
TOO_MANY_PIXELS: Final = "too_many_pixels"
TIMEOUT: Final = "timeout"
OUT_OF_MEMORY: Final = "out_of_memory"
DECODE_ERROR: Final = "decode_error"
REASONS: Final = (EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TRUNCATED, TOO_MANY_PIXELS, TIMEOUT, OUT_OF_MEMORY, DECODE_ERROR)

# Remarks of Pillow's about damaged metadata do not concern the pixels, and would be errors under `python -W error`.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Header:
    """What a file says it is. ``width`` and ``height`` in pixels, as displayed: EXIF orientation applied."""

    format: str
    width: int
    height: int


@dataclass(frozen=True)
class DecodeLimits:
    """What one image may cost: ``max_pixels`` by its header, ``seconds`` of decoding."""

    max_pixels: int = 200_000_000
    seconds: float = 20.0


class DeadlineFile(io.BytesIO):
    """Bytes that can be read until a deadline: Pillow's decoders read as they go, so each read is a place to stop.

    It works in any thread, where a signal would not. Raises ``ImageError('timeout')`` from ``read``.
    """

    def __init__(self, content: bytes | memoryview, seconds: float) -> None:
        super().__init__(content)
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        """As ``BytesIO.read``, while there is time."""
        self.check()
        return super().read(size)

    def check(self) -> None:
        """Raises ``ImageError('timeout')`` when the deadline has passed."""
        if time.monotonic() > self.deadline:
            raise ImageError(TIMEOUT, f"not decoded within {self.seconds:g} s")


def sniff(content: bytes | memoryview) -> str:
    """The format's name by the file's signature. Raises ``ImageError``: empty, not_an_image, unsupported.

    >>> sniff(b"GIF89a and so on")
    'GIF'
    """
    head = bytes(content[:64])
    if not head:
        raise ImageError(EMPTY, "the file has no bytes")
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    for signature, name in _UNREAD:
        if head.startswith(signature):
            raise ImageError(UNSUPPORTED, f"{name} files are not read")
    raise ImageError(NOT_AN_IMAGE, f"no known image format begins with {head[:8]!r}")


def open_image(fp: DeadlineFile, format: str, max_pixels: int) -> ImageFile.ImageFile:
    """The file as a Pillow image whose pixels are not decoded yet.

    Raises ``ImageError('too_many_pixels')`` by the header, and whatever Pillow raises for a damaged one.
    """
    with no_pillow_limit():
        im = _opener(format)(fp)
    pixels = im.width * im.height
    if pixels > max_pixels:
        raise ImageError(TOO_MANY_PIXELS, f"{im.width} x {im.height} is more than {max_pixels:,} pixels")
    if not pixels:
        raise ImageError(DECODE_ERROR, f"the image is {im.width} x {im.height} pixels")
    return im


def orientation(im: ImageFile.ImageFile) -> Image.Transpose | None:
    """How ``im`` must be turned to be displayed, by EXIF or XMP; ``None`` if it already stands right.

    Pillow's TIFF reader and pillow-heif turn the image themselves.
    """
    if im.format in ("TIFF", "HEIF"):
        return None
    # PNG's own getexif decodes the image to look for EXIF behind the pixels
    exif = Image.Image.getexif(im)
    return _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))


def header_of(im: ImageFile.ImageFile, format: str) -> Header:
    """The header of an opened image."""
    across = orientation(im) in _ACROSS
    width, height = (im.height, im.width) if across else im.size
    return Header(format, width, height)


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


_limit_lock = threading.Lock()
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
_ACROSS = frozenset(_TURNS[number] for number in (5, 6, 7, 8))

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_UNREAD = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\0\0\1\0", "icon"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML or SVG"),
    (b"v/1\x01", "OpenEXR"),
    (b"SIMPLE  =", "FITS"),
)


def _iso_format(head: bytes) -> str:
    """AVIF or HEIF, by the brands of the ``ftyp`` box (ISO/IEC 14496-12)."""
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4], "big"), 64), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return "HEIF"
    raise ImageError(UNSUPPORTED, f"the file is ISO media of brand {head[8:12]!r}: a video or a raw photograph")


def _opener(format: str) -> Callable[[DeadlineFile], ImageFile.ImageFile]:
    if format == "HEIF":
        try:
            plugin = importlib.import_module("pillow_heif.as_plugin")
        except ImportError:
            raise ImageError(UNSUPPORTED, "HEIC files need the package pillow-heif (pip install pillow-heif)") from None
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
