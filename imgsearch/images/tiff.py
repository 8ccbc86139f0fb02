"""What TIFF needs beside Pillow's reader: palettes of 8 bits, planes that it reads wrongly, and how many pages."""

from __future__ import annotations

import struct

from PIL import ImagePalette, TiffImagePlugin

from imgsearch.errors import ImageError
from imgsearch.images.signatures import UNSUPPORTED

COLOR_MAP, PLANAR, BITS, SUBFILE = 320, 284, 258, 254
MAX_PAGES = 10_000  # directories that are looked at; also where they go in a circle


def mend_palette(im: TiffImagePlugin.TiffImageFile) -> None:
    """A ColorMap of 0..255, as many scanners write it, is one of 8-bit levels: Pillow takes its high bytes, black."""
    levels = im.tag_v2.get(COLOR_MAP)
    if levels and im.mode in ("P", "PA") and max(levels) < 256:
        im.palette = ImagePalette.raw("RGB;L", bytes(levels))


def check_planes(im: TiffImagePlugin.TiffImageFile) -> None:
    """Raises ``ImageError('unsupported')`` for deep samples in separate planes, which Pillow reads as noise."""
    bits = im.tag_v2.get(BITS, (1,))
    if im.tag_v2.get(PLANAR) == 2 and len(bits) > 1 and max(bits) > 8:
        raise ImageError(UNSUPPORTED, f"TIFF: samples of {max(bits)} bits in separate planes are not read")


def n_pages(content: bytes) -> int:
    """Pictures in a TIFF file: its directories, without those that say they are reduced copies. At least 1."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    step, entry = ("Q", 20) if big else ("I", 12)
    pages, seen = 0, set[int]()
    try:
        at = struct.unpack_from(order + step, content, 8 if big else 4)[0]
        while at and at not in seen and len(seen) < MAX_PAGES:
            seen.add(at)
            n = struct.unpack_from(order + ("Q" if big else "H"), content, at)[0]
            first = at + (8 if big else 2)
            pages += not _is_reduced(content, order, first, entry, min(n, 4096))
            at = struct.unpack_from(order + step, content, first + n * entry)[0]
    except (struct.error, OverflowError):
        pass  # the chain is cut: what was seen of it counts
    return max(1, pages)


def _is_reduced(content: bytes, order: str, first: int, entry: int, n: int) -> bool:
    for at in range(first, first + n * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", content, at)
        if tag == SUBFILE:
            place = at + (12 if entry == 20 else 8)
            return bool(struct.unpack_from(order + ("H" if kind == 3 else "I"), content, place)[0] & 1)
        if tag > SUBFILE:  # tags are in order
            return False
    return False
