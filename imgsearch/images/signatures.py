"""The format of a file, by its first bytes."""

from __future__ import annotations

from typing import Final

from imgsearch.errors import ImageError

EMPTY: Final = "empty"
NOT_AN_IMAGE: Final = "not_an_image"
UNSUPPORTED: Final = "unsupported"

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
_ISO_BRANDS = {
    b"crx ": "a Canon raw photograph", b"isom": "an MP4 video", b"mp41": "an MP4 video", b"mp42": "an MP4 video",
    b"avc1": "an MP4 video", b"M4V ": "an MP4 video", b"3gp4": "a 3GP video", b"3gp5": "a 3GP video",
    b"qt  ": "a QuickTime video", b"jp2 ": "a JPEG 2000 picture", b"M4A ": "MP4 sound",
}  # fmt: skip


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
    raise ImageError(NOT_AN_IMAGE, "its first bytes are those of no known image format")


def _iso_format(head: bytes) -> str:
    """AVIF or HEIF, by the brands of the ``ftyp`` box (ISO/IEC 14496-12)."""
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4], "big"), 64), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return "HEIF"
    name = _ISO_BRANDS.get(head[8:12], "a video or a raw photograph")
    raise ImageError(UNSUPPORTED, f"the file is ISO media: {name}")
