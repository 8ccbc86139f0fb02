"""Metadata that a decoder stumbles over, taken out before it sees the file; the pixels are none the worse."""

from __future__ import annotations

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
#: Texts, colour profiles, and frames of an animation after the first: nothing that the pixels need.
PNG_BESIDE = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fcTL", b"fdAT"))
JFIF_LENGTH = 16  # bytes of a whole JFIF segment, without its marker


def without_metadata(content: bytes | memoryview, format: str) -> bytes | memoryview:
    """The file without what is no picture in it, of PNG; of JPEG without a JFIF segment that is cut. Or as it is."""
    if format == "PNG":
        return _png(content)
    if format == "JPEG" and content[2:4] == b"\xff\xe0":
        length = int.from_bytes(content[4:6], "big")
        if 2 <= length < JFIF_LENGTH:
            return bytes(content[:2]) + bytes(content[4 + length :])
    return content


def _png(content: bytes | memoryview) -> bytes | memoryview:
    """Chunks (4 bytes of length, 4 of type, data, 4 of checksum) but for ``PNG_BESIDE``; a damaged tail stays."""
    view = memoryview(content)
    parts: list[memoryview] = []
    at = start = len(PNG_HEAD)
    parts.append(view[:at])
    while at + 8 <= len(view):
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        if bytes(view[at + 4 : at + 8]) in PNG_BESIDE and end <= len(view):
            parts.append(view[start:at])
            start = end
        at = end
    if start == len(PNG_HEAD):
        return content
    parts.append(view[start:])
    return b"".join(parts)
