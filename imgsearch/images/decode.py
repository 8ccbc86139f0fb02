"""Decoding: from a file's bytes to the (height, width, 3) uint8 array that a network takes.

Small images are decoded as ``PIL.Image.open → exif_transpose → convert("RGB") → resize`` would, bit for bit. Images
much larger than the network's input are reduced on the way: JPEG by the decoder itself (DCT scaling, to no less than
twice the input), everything by whole factors (box averages, to no less than four times the input). Measured on 4032 x
3024 pictures at 224 x 224: 0.2 grey levels on average from the plain way, cosine of EfficientNet-Lite0 embeddings at
least 0.998, where changing every sixth value by one level costs more (0.991); JPEG 4 to 6 times faster.

Whatever is wrong with a file becomes ``ImageError``; a part of a picture is never returned as a picture.

This is the one decoder of the product (network, augmentation, queries, thumbnails), and ``DecodeLimits`` hold for each.
Most decoders read as they go and stop at a deadline between two reads. What may fill much memory, or take long in one
call, is decoded in a child process (``lake/isolation.py``) that the system stops: 10 ms where decoding takes hundreds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from imgsearch.errors import ImageError
from imgsearch.images.costs import IN_PROCESS, Cost, cost_of
from imgsearch.images.decode_errors import image_errors
from imgsearch.images.formats import (
    TRUNCATED,
    DeadlineFile,
    DecodeLimits,
    Header,
    check_canvas,
    checked,
    header_of,
    no_pillow_limit,
    open_image,
    orientation,
)
from imgsearch.images.gif import first_frame, on_its_canvas
from imgsearch.images.jpeg import decode_reduced, lost_tail
from imgsearch.images.metadata import without_metadata
from imgsearch.images.pixels import reduced_to_8bit
from imgsearch.images.placement import ACROSS, Placement, centre_crop, placed, squash
from imgsearch.images.signatures import sniff
from imgsearch.images.thumbnail import as_jpeg, fitted, reduced
from imgsearch.lake.isolation import isolated

__all__ = [
    "DecodeLimits",
    "Decoded",
    "Header",
    "ImageError",
    "decode",
    "decode_views",
    "read_header",
]

REDUCE_GAP = 4  # box averages leave at least this many times the wanted size


def read_header(content: bytes | memoryview, limits: DecodeLimits | None = None) -> Header:
    """Format and displayed size of an image file, without decoding it.

    Raises ``ImageError`` for what is no image, is damaged in its header, or exceeds ``limits`` (default limits if not
    given).
    """
    limits = limits or DecodeLimits()
    format = sniff(content)
    with image_errors(content, format):
        fp = DeadlineFile(without_metadata(content, format), limits.seconds)
        return header_of(open_image(fp, format, limits), format, content)


def decode(
    content: bytes | memoryview,
    size: tuple[int, int],
    limits: DecodeLimits | None = None,
    resample: str = "bicubic",
    fit: str = "squash",
    resize_to: int | None = None,
) -> NDArray[np.uint8]:
    """An image file as the network takes it: (height, width, 3) uint8 RGB, C-contiguous and writable.

    ``size``: (height, width). ``resample``: a filter of Pillow's, by name. ``fit="squash"`` resizes both sides to
    ``size``; ``fit="crop"`` resizes the short side to ``resize_to`` and cuts ``size`` from the centre (torchvision's
    recipe for classification). Raises ``ImageError`` for whatever is wrong with the file (``formats.REASONS``) and
    ``ValueError`` for a request that makes no sense.
    """
    return decode_views(content, size, limits, resample, fit, resize_to).pixels


def decode_views(
    content: bytes | memoryview,
    size: tuple[int, int],
    limits: DecodeLimits | None = None,
    resample: str = "bicubic",
    fit: str = "squash",
    resize_to: int | None = None,
    *,
    thumbnail: bool = False,
    detail: tuple[int, int] | None = None,
) -> Decoded:
    """As ``decode``, with more views of the same decoded pixels: a thumbnail of the whole picture, and what the network
    sees at the size ``detail``.

    A picture much larger than ``size`` was reduced to no less than twice that; ``detail`` is made of what is left.
    """
    filter = _resampling(resample)
    return _decoded(content, _Request(size, limits or DecodeLimits(), filter, fit, resize_to, thumbnail, detail))


class Decoded(NamedTuple):
    """``pixels``: see ``decode``. ``thumbnail``: a JPEG (``images/thumbnail``), and ``detail``: the view at another
    size; ``None`` where none was asked for. ``frame``: the part of the picture that is seen (``Placement.frame``)."""

    pixels: NDArray[np.uint8]
    thumbnail: bytes | None
    detail: NDArray[np.uint8] | None = None
    frame: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


def _decoded(content: bytes | memoryview, request: _Request) -> Decoded:
    _check_fit(request.size, request.fit, request.resize_to)
    format = sniff(content)
    fp = DeadlineFile(without_metadata(content, format), request.limits.seconds)
    with image_errors(content, format):
        before_opening = format == "WEBP" and _apart(check_canvas(fp.getvalue(), request.limits))
        if before_opening or request.limits.apart:
            return _in_child(fp, format, request, lambda: _pixels(_opened(fp, format, request), fp))
        picture = _opened(fp, format, request)
        if _apart(picture.cost):
            return _in_child(fp, format, request, lambda: _pixels(picture, fp))
        return _pixels(picture, fp)


class _Request(NamedTuple):
    """What ``decode`` was asked for."""

    size: tuple[int, int]
    limits: DecodeLimits
    filter: Image.Resampling
    fit: str
    resize_to: int | None
    thumbnail: bool = False
    detail: tuple[int, int] | None = None

    def placement(self, source: tuple[int, int], size: tuple[int, int]) -> Placement:
        """How a picture of ``source`` (width, height) pixels comes to ``size``."""
        if self.fit != "crop" or self.resize_to is None:
            return squash(size)
        return centre_crop(source, size, round(self.resize_to * size[0] / self.size[0]))


class _Picture(NamedTuple):
    """An opened image, and what is to become of it. ``part``: its (width, height) in what the decoder gives.

    ``thumbnail``: the (width, height) of its thumbnail, ``detail``: how it comes to the other size; or ``None``.
    """

    im: ImageFile.ImageFile
    part: tuple[float, float]
    turn: Image.Transpose | None
    placement: Placement
    filter: Image.Resampling
    cost: Cost
    thumbnail: tuple[int, int] | None
    detail: Placement | None

    @property
    def whole(self) -> tuple[int, int]:
        """(width, height) that the picture is scaled to, as it is stored."""
        return self.placement.whole[::-1] if self.turn in ACROSS else self.placement.whole


def _opened(fp: DeadlineFile, format: str, request: _Request) -> _Picture:
    im = open_image(fp, format, request.limits)
    turn = orientation(im)
    header = header_of(im, format, b"")
    source = header.width, header.height
    placement = request.placement(source, request.size)
    whole = placement.whole[::-1] if turn in ACROSS else placement.whole
    part = decode_reduced(im, whole) if isinstance(im, JpegImagePlugin.JpegImageFile) else im.size
    content = fp.getvalue()
    cost = cost_of(im, format, content, request.limits.seconds)
    checked(cost, format, source, content, request.limits)
    small = fitted(*source) if request.thumbnail else None
    detail = None if request.detail is None else request.placement(source, request.detail)
    return _Picture(im, part, turn, placement, request.filter, cost, small, detail)


def _apart(cost: Cost) -> bool:
    return cost.slow or cost.most > IN_PROCESS


def _in_child(fp: DeadlineFile, format: str, request: _Request, work: Callable[[], Decoded]) -> Decoded:
    """``work`` in a child process, whose errors are ``ImageError`` already."""
    content = fp.getvalue()

    def guarded() -> Decoded:
        fp.restart()
        with image_errors(content, format):
            return work()

    return isolated(guarded, request.limits.seconds, request.limits.memory - len(content))


def _pixels(picture: _Picture, fp: DeadlineFile) -> Decoded:
    """The decoded picture as the network takes it, its thumbnail and its detail."""
    pixels, part = _load(picture, fp)
    small = picture.thumbnail and as_jpeg(reduced(pixels, part, picture.turn, picture.thumbnail))
    views = [
        np.array(placed(pixels, part, picture.turn, each, picture.filter).convert("RGB"))
        for each in (picture.placement, picture.detail)
        if each is not None
    ]
    fp.check()
    return Decoded(views[0], small or None, views[1] if len(views) > 1 else None, picture.placement.frame)


def _load(picture: _Picture, fp: DeadlineFile) -> tuple[Image.Image, tuple[float, float]]:
    """Pixels, grey or RGB, not turned yet, reduced to no less than what is wanted and a gap.

    Also returns the (width, height) of the picture in them.
    """
    im, (width, height), whole = picture.im, picture.part, picture.whole
    inverted = isinstance(im, TiffImagePlugin.TiffImageFile) and im.tag_v2.get(262) == 0
    frame = first_frame(im)
    with no_pillow_limit():
        im.load()
    fp.check()
    if isinstance(im, JpegImagePlugin.JpegImageFile) and lost_tail(im, fp):
        raise ImageError(TRUNCATED, "JPEG: the data end before the picture does")
    factors = _factor(im.width, whole[0]), _factor(im.height, whole[1])
    small = reduced_to_8bit(im, factors, inverted=inverted) if frame is None else on_its_canvas(im, frame, factors)
    return small, (width / factors[0], height / factors[1])


def _factor(side: int, target: int) -> int:
    return max(1, side // (target * REDUCE_GAP))


def _resampling(name: str) -> Image.Resampling:
    try:
        return Image.Resampling[name.upper()]
    except KeyError:
        choices = ", ".join(filter.name.lower() for filter in Image.Resampling)
        raise ValueError(f"unknown resample {name!r}; known: {choices}") from None


def _check_fit(size: tuple[int, int], fit: str, resize_to: int | None) -> None:
    if min(size) < 1:
        raise ValueError(f"size {size} must be at least 1 x 1")
    if fit not in ("squash", "crop"):
        raise ValueError(f"unknown fit {fit!r}; known: squash, crop")
    if fit == "crop" and (resize_to is None or resize_to < max(size)):
        raise ValueError(f"fit='crop' needs resize_to of at least {max(size)}, not {resize_to}")
