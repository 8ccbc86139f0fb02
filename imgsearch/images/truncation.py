"""Does a file end before its format says it should? Asked of files that would not decode, to name the reason."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

MOST_PARTS = 100_000  # chunks or boxes that are looked through; a file with more does not tell
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # ends entropy-coded data: neither stuffing nor a restart


def ends_early(content: bytes, format: str) -> bool:
    """Whether the file lacks bytes that its own structure announces; ``False`` where the format does not tell.

    Of GIF and BMP Pillow's own error says so. ``format``: as ``sniff`` names it. Never raises, whatever the bytes are.
    """
    try:
        return _ENDINGS[format](content) if format in _ENDINGS else False
    except (struct.error, IndexError, OverflowError):  # the structure itself is cut, or points nowhere
        return True


def first_scan(content: bytes) -> int | None:
    """Where the header of a JPEG's first scan stands: the offset of its marker; ``None`` if there is none."""
    at = 2
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 4 > len(content):
            return None
        marker = content[at + 1]
        if marker == 0xDA:
            return at
        if marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")


def scan_end(content: bytes) -> int | None:
    """Where the first scan of a JPEG ends: the offset of the marker after its data; ``None`` if there is no end."""
    at = first_scan(content)
    if at is None:
        return None
    match = MARKER.search(content, at + 2 + int.from_bytes(content[at + 2 : at + 4], "big"))
    return match.start() if match else None


def _jpeg(content: bytes) -> bool:
    end = scan_end(content)
    return end is None or content[end + 1] == 0xD8 or content.find(b"\xff\xd9", end) < 0


def _png(content: bytes) -> bool:
    at = 8
    for _ in range(MOST_PARTS):
        if at + 12 > len(content):
            return True
        if content[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return False


def _webp(content: bytes) -> bool:
    return struct.unpack_from("<I", content, 4)[0] + 8 > len(content)


def _iso(content: bytes) -> bool:
    """Boxes (ISO/IEC 14496-12): 4 bytes of size, 4 of type; size 1 means a 64-bit size follows, 0 up to the end."""
    at = 0
    for _ in range(MOST_PARTS):
        if at >= len(content):
            break
        size = struct.unpack_from(">I", content, at)[0]
        if size == 1:
            size = struct.unpack_from(">Q", content, at + 8)[0]
        if size == 0:
            return False
        at += max(size, 8)
    return at > len(content)


def _tiff(content: bytes) -> bool:
    """The first directory, and the values, strips and tiles it points to (of BigTIFF only the directory)."""
    order = "<" if content[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", content, 2)[0] == 43:
        start = struct.unpack_from(order + "Q", content, 8)[0]
        return start + 8 + 20 * struct.unpack_from(order + "Q", content, start)[0] > len(content)
    start = struct.unpack_from(order + "I", content, 4)[0]
    end = start + 2 + 12 * struct.unpack_from(order + "H", content, start)[0]
    if end + 4 > len(content):
        return True
    places: dict[int, tuple[int, ...]] = {}
    for at in range(start + 2, end, 12):
        tag, kind, count, value = struct.unpack_from(order + "HHII", content, at)
        n_bytes = count * _TIFF_SIZES.get(kind, 1)
        if n_bytes > 4 and value + n_bytes > len(content):
            return True
        if tag in (273, 279, 324, 325) and kind in (3, 4):
            letter = "H" if kind == 3 else "I"
            places[tag] = struct.unpack_from(f"{order}{count}{letter}", content, value if n_bytes > 4 else at + 8)
    offsets = places.get(273, places.get(324, ()))
    sizes = places.get(279, places.get(325, ()))
    return any(offset + size > len(content) for offset, size in zip(offsets, sizes, strict=False))


_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes by field type
_ENDINGS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": _iso,
    "HEIF": _iso,
}
