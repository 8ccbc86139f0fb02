"""Files that other decoders read and Pillow alone does not, or reads wrongly; and of formats that are not read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from support.image_files import picture, saved

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x:xmpmeta>'
)


def rgb() -> Image.Image:
    return Image.fromarray(picture())


def png_with(kind: bytes, data: bytes, after: bool = False) -> bytes:
    """The picture as PNG with one more chunk, before the pixels or after them."""
    content = saved(rgb(), "PNG")
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    at = len(content) - 12 if after else 33
    return content[:at] + chunk + content[at:]


def jpeg_with(segment: bytes, after: int = 2) -> bytes:
    """The picture as JPEG with other bytes in place of those up to ``after``, past the start marker."""
    content = saved(rgb(), "JPEG", quality=95)
    return content[:2] + segment + content[after:]


def tiff(order: str, data: bytes, tags: dict[int, tuple[int, ...]], next_directory: int = 0) -> bytes:
    """A classic TIFF: pixels from byte 8 on, then one directory. Values are LONG."""
    start = 8 + len(data)
    beyond, entries = start + 2 + 12 * len(tags) + 4, b""
    extra = b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > 4:
            packed, extra = struct.pack(order + "I", beyond + len(extra)), extra + packed
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    return (
        head + data + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", next_directory) + extra
    )


def planar_tiff(bits: int, order: str = "<") -> bytes:
    """The picture with its samples in separate planes."""
    values = picture().transpose(2, 0, 1).astype(np.uint16) * (257 if bits == 16 else 1)
    data = values.astype(f"{order}u{bits // 8}").tobytes()
    n = len(data) // 3
    return tiff(order, data, {
        256: (72,), 257: (48,), 258: (bits,) * 3, 259: (1,), 262: (2,), 273: (8, 8 + n, 8 + 2 * n), 277: (3,),
        278: (48,), 279: (n,) * 3, 284: (2,),
    })  # fmt: skip


def scanner_tiff() -> bytes:
    """A palette TIFF whose ColorMap holds 0..255 instead of 0..65535."""
    indexed = rgb().quantize(256)
    levels = np.frombuffer(indexed.palette.getdata()[1].ljust(768, b"\0"), np.uint8).reshape(-1, 3)  # type: ignore[union-attr]
    data = indexed.tobytes()
    return tiff("<", data, {
        256: (72,), 257: (48,), 258: (8,), 259: (1,), 262: (3,), 273: (8,), 277: (1,), 278: (48,), 279: (len(data),),
        320: tuple(map(int, levels.T.ravel())),
    })  # fmt: skip


def big_tiff(order: str) -> bytes:
    """The picture as BigTIFF."""
    data = picture().tobytes()
    tags = [
        (256, 4, (72,)), (257, 4, (48,)), (258, 3, (8, 8, 8)), (259, 3, (1,)), (262, 3, (2,)), (273, 16, (16,)),
        (277, 3, (3,)), (278, 4, (48,)), (279, 16, (len(data),)),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack(order + "HHQ", tag, kind, len(values))
        + struct.pack(order + {3: "H", 4: "I", 16: "Q"}[kind] * len(values), *values).ljust(8, b"\0")
        for tag, kind, values in tags
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ", 43, 8, 0, 16 + len(data))
    return head + data + struct.pack(order + "Q", len(tags)) + entries + struct.pack(order + "Q", 0)


def small_gif_frame() -> bytes:
    """A green frame of 10 x 10 at (5, 5) on a canvas of 20 x 20, whose background colour is red."""
    frame = Image.new("P", (10, 10), 1)
    frame.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    content = bytearray(saved(frame, "GIF"))
    content[6:10] = struct.pack("<HH", 20, 20)
    at = content.index(b",\0\0\0\0\x0a\0")
    content[at + 1 : at + 5] = struct.pack("<HH", 5, 5)
    return bytes(content)


#: The picture, upright, in files that Pillow refuses or turns: name → bytes.
WHOLE: dict[str, Callable[[], bytes]] = {
    "png with an unknown way of compressing its profile": lambda: png_with(b"iCCP", b"x\0\7abc"),
    "png with a large text": lambda: png_with(b"zTXt", b"x\0\0" + zlib.compress(b"a" * (3 << 20))),
    "png with a large text at its end": lambda: png_with(b"zTXt", b"x\0\0" + zlib.compress(b"a" * (3 << 20)), True),
    "png with a large international text": lambda: png_with(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(b"a" * (3 << 20))),
    "png with an animation of no frames": lambda: png_with(b"acTL", struct.pack(">II", 0, 0)),
    "png with a frame's header and no frame": lambda: png_with(b"fcTL", b"\0" * 26),
    "png turned by xmp alone": lambda: png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    "jpeg with an empty JFIF segment": lambda: jpeg_with(b"\xff\xe0\0\2", 20),
    "jpeg with a cut JFIF segment": lambda: jpeg_with(b"\xff\xe0\0\7JFIF\0", 20),
    "jpeg turned by xmp alone": lambda: jpeg_with(
        b"\xff\xe1" + struct.pack(">H", len(XMP) + 31) + b"http://ns.adobe.com/xap/1.0/\0" + XMP
    ),
    "webp turned by xmp alone": lambda: saved(rgb(), "WEBP", lossless=True, xmp=XMP),
    "tiff turned by xmp alone": lambda: saved(rgb(), "TIFF", tiffinfo={700: XMP}),
    "tiff of a scanner": scanner_tiff,
    "tiff of three planes": lambda: planar_tiff(8),
    "bigtiff": lambda: big_tiff("<"),
}
#: What is not read: (bytes, reason, a part of the detail).
UNREAD: dict[str, tuple[bytes, str, str]] = {
    "tga": (struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 4, 24, 32), "unsupported", "TGA"),
    "tga_mapped": (
        struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, 4, 24, 0, 0, 4, 4, 8, 0) + b"\0" * 48,
        "unsupported",
        "TGA",
    ),
    "dds": (b"DDS " + b"\0" * 124, "unsupported", "DDS"),
    "pcx": (b"\n\5\1\x08" + b"\0" * 124, "unsupported", "PCX"),
    "sgi": (b"\1\xda\1\1" + b"\0" * 508, "unsupported", "SGI"),
    "icns": (b"icns\0\0\0\x10ic07", "unsupported", "ICNS"),
    "hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 4\n", "unsupported", "Radiance HDR"),
    "qoi": (b"qoif\0\0\0\4\0\0\0\4\3\0", "unsupported", "QOI"),
    "dicom": (b"\0" * 128 + b"DICM" + b"\0" * 60, "unsupported", "DICOM"),
    "psd": (b"8BPS\0\1", "unsupported", "Photoshop"),
    "xcf": (b"gimp xcf v011", "unsupported", "GIMP"),
    "pam": (b"P7\nWIDTH 4\n", "unsupported", "PAM"),
    "bigtiff_big_endian": (big_tiff(">"), "unsupported", "big-endian BigTIFF"),
    "planes16": (planar_tiff(16), "unsupported", "16 bits in separate planes"),
    "planes16_big_endian": (planar_tiff(16, ">"), "unsupported", "16 bits in separate planes"),
    "text": (b"not a picture at all", "not_an_image", "no known image format"),
    "newline": (b"\nnot a picture\n" * 10, "not_an_image", "no known image format"),
    "zeros": (b"\0" * 600, "not_an_image", "no known image format"),
}
