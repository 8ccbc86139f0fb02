"""Which format a file is in, by its first bytes. Formats that are not read are named too."""

from __future__ import annotations

import struct
from typing import Final

from imgsearch.errors import ImageError

EMPTY: Final = "empty"
NOT_AN_IMAGE: Final = "not_an_image"
UNSUPPORTED: Final = "unsupported"
HEAD: Final = 256  # bytes that are looked at


def sniff(content: bytes | memoryview) -> str:
    """The format's name by the file's signature. Raises ``ImageError``: empty, not_an_image, unsupported.

    >>> sniff(b"GIF89a and so on")
    'GIF'
    """
    head = bytes(content[:HEAD])
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
    if unread := unread_format(head):
        raise ImageError(UNSUPPORTED, f"{unread} files are not read")
    raise ImageError(NOT_AN_IMAGE, "its first bytes are those of no known image format")


def unread_format(head: bytes) -> str | None:
    """The name of a format that is not read.

    >>> unread_format(b"qoif"), unread_format(b"text")
    ('QOI', None)
    """
    for signature, name in _UNREAD:
        if head.startswith(signature):
            return name
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:1] == b"\n" and head[1:2] in b"\0\2\3\4\5" and head[2:3] == b"\1" and head[3:4] in b"\1\2\4\x08":
        return "PCX"
    return "TGA" if _is_targa(head) else None


def _is_targa(head: bytes) -> bool:
    """Whether the header makes sense as Truevision TGA, which has no signature (version 2.0, field by field)."""
    if len(head) < 18:
        return False
    _, has_map, kind, first, length, bits = struct.unpack_from("<BBBHHB", head)
    width, height, depth, descriptor = struct.unpack_from("<HHBB", head, 12)
    depths = (8, 16) if kind & 7 in (1, 3) else (15, 16, 24, 32)
    mapped = has_map == 1 and bits in (15, 16, 24, 32) and length > 0
    plain = has_map == 0 and first == length == bits == 0
    sound = (mapped if kind & 7 == 1 else plain) and depth in depths
    return sound and kind in (1, 2, 3, 9, 10, 11) and width > 0 and height > 0 and descriptor < 64


_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
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
    (b"DDS ", "DDS"),
    (b"\x01\xda", "SGI"),
    (b"icns", "ICNS"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"/* XPM */", "XPM"),
    (b"#define ", "XBM"),
    (b"P7\n", "PAM"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"farbfeld", "farbfeld"),
    (b"gimp xcf", "GIMP"),
    (b"AT&TFORM", "DjVu"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"\x8aMNG", "MNG"),
    (b"\x8bJNG", "JNG"),
    (b"\xabKTX", "KTX"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"FUJIFILMCCD-RAW", "Fuji raw"),
    (b"FOVb", "Sigma raw"),
    (b"IIRO", "Olympus raw"),
    (b"IIU\0", "Panasonic raw"),
    (b"MM\0+", "big-endian BigTIFF"),
)
_ISO_BRANDS = {
    b"crx ": "a Canon raw photograph", b"isom": "an MP4 video", b"mp41": "an MP4 video", b"mp42": "an MP4 video",
    b"avc1": "an MP4 video", b"M4V ": "an MP4 video", b"3gp4": "a 3GP video", b"3gp5": "a 3GP video",
    b"qt  ": "a QuickTime video", b"jp2 ": "a JPEG 2000 picture", b"M4A ": "MP4 sound",
}  # fmt: skip


def _iso_format(head: bytes) -> str:
    """AVIF or HEIF, by the brands of the ``ftyp`` box (ISO/IEC 14496-12)."""
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4], "big"), 64), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return "HEIF"
    name = _ISO_BRANDS.get(head[8:12], "a video or a raw photograph")
    raise ImageError(UNSUPPORTED, f"the file is ISO media: {name}")
