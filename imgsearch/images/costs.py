"""What decoding an image can cost, by its header: bytes of memory, and whether one call may take long.

Measured with Pillow 13 (libwebp, libavif, libjpeg-turbo 3, libtiff) on pictures of 9 megapixels, as the growth of the
process's peak; the constants are at or a little above what was seen.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from imgsearch.images.truncation import first_scan

IN_PROCESS: Final = 160 << 20  # bytes that a worker lends to a decode; what may need more is decoded in a child process
MANY_SCANS: Final = 10**9  # pixels x scans of a JPEG from which on one read may mean seconds of work
# Decoders that take a whole file in one call and cannot be stopped: what they manage at least, on a slow core.
PIXELS_A_SECOND: Final = {"WEBP": 10e6, "AVIF": 10e6, "HEIF": 10e6, "TIFF": 10e6}
#: Bytes a pixel of decoders that hold canvases of their own: the least, and the most (deep or transparent pictures).
_CANVAS: Final = {"WEBP": (16, 20), "AVIF": (9, 20), "HEIF": (9, 20)}
_ONE_BYTE: Final = frozenset({"1", "L", "P"})


class Cost(NamedTuple):
    """Bytes that decoding fills: ``least`` for certain, ``most`` perhaps. ``slow``: one call may take long."""

    least: int
    most: int
    slow: bool = False


def cost_of(im: ImageFile.ImageFile, format: str, content: bytes, seconds: float) -> Cost:
    """The cost of an opened image. A JPEG that is to be reduced must have been told so (``decode_reduced``)."""
    n_pixels = im.width * im.height
    if isinstance(im, JpegImagePlugin.JpegImageFile):
        return jpeg_cost(im, content)
    if format in _CANVAS:
        return canvas_cost(format, n_pixels, seconds)
    n_bytes = n_pixels * bytes_a_pixel(im)
    if format == "GIF":
        return Cost(n_bytes, 3 * n_bytes)  # the canvas before this frame, and the frame
    if isinstance(im, TiffImagePlugin.TiffImageFile) and im.tile[0].codec_name != "raw":
        return Cost(n_bytes, n_bytes + _largest_piece(im), n_pixels > PIXELS_A_SECOND["TIFF"] * seconds)
    return Cost(n_bytes, n_bytes)


def canvas_cost(format: str, n_pixels: int, seconds: float) -> Cost:
    """The cost of a format whose decoder holds canvases of its own."""
    least, most = (n_pixels * each for each in _CANVAS[format])
    return Cost(least, most, n_pixels > PIXELS_A_SECOND[format] * seconds)


def jpeg_cost(im: JpegImagePlugin.JpegImageFile, content: bytes) -> Cost:
    """A JPEG of more than one scan is held as coefficients (16 bits each) at its full size, however it is reduced."""
    pixels = im.width * im.height * bytes_a_pixel(im)
    scan = first_scan(content)
    in_scan = content[scan + 4] if scan is not None and scan + 4 < len(content) else im.layers
    if "progressive" not in im.info and in_scan >= im.layers:
        return Cost(pixels, 2 * pixels)  # it may be decoded twice: see jpeg.lost_tail
    scale = im.decoderconfig[0] if im.decoderconfig else 1
    n_pixels = im.width * im.height * scale**2
    across, down = max(layer[1] for layer in im.layer), max(layer[2] for layer in im.layer)
    share = sum(layer[1] * layer[2] for layer in im.layer) / (across * down)
    least = pixels + round(2 * n_pixels * share)
    return Cost(least, round(1.2 * least), n_pixels * content.count(b"\xff\xda") > MANY_SCANS)


def webp_canvas(content: bytes) -> tuple[int, int]:
    """(width, height) by the first chunk of a WebP file (RFC 9649); 1 x 1 where the reader is to find the fault."""
    kind = content[12:16]
    if kind == b"VP8X" and len(content) >= 30:
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L" and len(content) >= 25:
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(content) >= 30:
        width, height = struct.unpack_from("<HH", content, 26)
        return max(1, width & 0x3FFF), max(1, height & 0x3FFF)
    return 1, 1


def bytes_a_pixel(im: Image.Image) -> int:
    """How Pillow holds a decoded pixel."""
    if im.mode in _ONE_BYTE:
        return 1
    return 2 if im.mode.startswith("I;16") else 4


def tile_size(im: ImageFile.ImageFile) -> tuple[int, int]:
    """What the decoder allocates beside the image: a TIFF's tile, which may be larger than the image is."""
    if not isinstance(im, TiffImagePlugin.TiffImageFile):
        return 1, 1
    return int(im.tag_v2.get(322, 1)), int(im.tag_v2.get(323, 1))


def _largest_piece(im: TiffImagePlugin.TiffImageFile) -> int:
    """Bytes of a TIFF's strip or tile as libtiff decodes it, four for each sample's pixel at most."""
    tile = tile_size(im)
    rows = min(im.height, int(im.tag_v2.get(278, im.height)))
    n_pixels = tile[0] * tile[1] if 322 in im.tag_v2 else im.width * rows
    bits = im.tag_v2.get(258, (8,))
    n_bits = sum(bits) if isinstance(bits, tuple) else int(bits)
    return n_pixels * max(4, -(-n_bits // 8))
