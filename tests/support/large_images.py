"""The largest files that are accepted, a few kilobytes each: what a decoder fills by its header alone."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image


def png(width: int, height: int, colour: int = 6, bits: int = 8) -> bytes:
    """A black PNG, of whole zero rows. ``colour``: 0 grey, 2 RGB, 6 RGBA."""
    rows = _zeros(1 + width * {0: 1, 2: 3, 6: 4}[colour] * bits // 8, height)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _zeros(n_bytes: int, n_times: int) -> bytes:
    """``n_bytes * n_times`` zero bytes as a zlib stream: one compressed block, again and again."""
    block = bytes(n_bytes)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 1
    for _ in range(n_times):
        check = zlib.adler32(block, check)
    return b"\x78\x01" + part * n_times + b"\x03\x00" + struct.pack(">I", check)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gif(width: int, height: int) -> bytes:
    """A GIF of one pixel on a large canvas."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"


def webp(width: int, height: int) -> bytes:
    """A lossless WebP of one colour: its data do not depend on its size."""
    content = bytearray(_saved(Image.new("RGB", (16, 16), (10, 200, 30)), "WEBP", lossless=True))
    bits = int.from_bytes(content[21:25], "little") & ~0xFFFFFFF | (width - 1) | (height - 1) << 14
    content[21:25] = bits.to_bytes(4, "little")
    return bytes(content)


def jpeg(width: int, height: int, progressive: bool, grey: bool = False) -> bytes:
    """A JPEG of one colour."""
    side = Image.new("L" if grey else "RGB", (width, height), 90 if grey else (90, 120, 30))
    return _saved(side, "JPEG", progressive=progressive, subsampling=0, quality=20)


def tiff(width: int, height: int) -> bytes:
    """A deflated RGB TIFF in one strip."""
    strip = _zeros(width * 3, height)
    tags = [(256, width), (257, height), (258, 8), (259, 8), (262, 2), (273, 8), (277, 3), (278, height)]
    tags.append((279, len(strip)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    strip += b"\0" * (len(strip) % 2)
    directory = struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


def bitmap(width: int, height: int) -> bytes:
    """A PBM: one bit a pixel."""
    return b"P4 %d %d\n" % (width, height) + bytes(-(-width // 8) * height)


def avif(width: int, height: int) -> bytes:
    """An AVIF of one colour."""
    return _saved(Image.new("RGB", (width, height), (10, 200, 30)), "AVIF", speed=10, quality=10)


def _saved(im: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    im.save(file, format, **options)
    return file.getvalue()


#: Name → a file near the most that is accepted of its format (640 MiB; 200 megapixels).
LARGEST: dict[str, Callable[[], bytes]] = {
    "png_rgba": lambda: png(12900, 12900),
    "png_rgb16": lambda: png(12900, 12900, colour=2, bits=16),
    "png_grey16": lambda: png(14000, 14000, colour=0, bits=16),
    "gif": lambda: gif(14000, 14200),
    "webp": lambda: webp(7000, 5900),
    "jpeg": lambda: jpeg(10000, 9000, progressive=False),
    "jpeg_progressive": lambda: jpeg(9000, 9000, progressive=True),
    "tiff": lambda: tiff(9900, 8000),
    "bitmap": lambda: bitmap(14000, 14200),
    "avif": lambda: avif(6000, 5400),
}
