"""One small file of every kind that is read, made here: what the tests of decoding and the fuzz proof feed on."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

WIDTH, HEIGHT = 72, 48


def picture(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Slopes, a disc and some noise: (height, width, 3) uint8; no two corners look alike."""
    y, x = np.mgrid[0:height, 0:width]
    disc = ((x - width * 0.3) ** 2 + (y - height * 0.4) ** 2 < (min(height, width) * 0.3) ** 2) * 90
    noise = np.random.default_rng(7).integers(0, 12, (height, width))
    planes = (x * 200 // max(1, width) + noise, y * 220 // max(1, height) + noise, 40 + disc + noise)
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def saved(im: Image.Image, format: str, **options: object) -> bytes:
    """``im`` as a file's bytes."""
    file = io.BytesIO()
    im.save(file, format, **options)
    return file.getvalue()


def turned(format: str, orientation: int, im: Image.Image | None = None, **options: object) -> bytes:
    """A file with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(im or Image.fromarray(picture()), format, exif=exif, **options)


@cache
def files() -> dict[str, bytes]:
    """Kind → bytes. All show ``picture()`` as far as their kind can."""
    rgb = Image.fromarray(picture())
    grey = rgb.convert("L")
    deep = np.asarray(grey).astype(np.uint16) * 16
    alpha = rgb.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    made = {
        "jpeg": saved(rgb, "JPEG", quality=90),
        "jpeg_444": saved(rgb, "JPEG", quality=95, subsampling=0),
        "jpeg_restarts": saved(rgb, "JPEG", restart_marker_rows=1),
        "jpeg_progressive": saved(rgb, "JPEG", progressive=True),
        "jpeg_grey": saved(grey, "JPEG"),
        "jpeg_cmyk": saved(rgb.convert("CMYK"), "JPEG"),
        "jpeg_turned": turned("JPEG", 6),
        "png": saved(rgb, "PNG"),
        "png_grey": saved(grey, "PNG"),
        "png_grey16": saved(Image.fromarray(deep), "PNG"),
        "png_palette": saved(rgb.quantize(64), "PNG"),
        "png_palette_transparent": saved(rgb.quantize(64), "PNG", transparency=3),
        "png_alpha": saved(alpha, "PNG"),
        "png_grey_alpha": saved(alpha.convert("LA"), "PNG"),
        "png_1bit": saved(grey.convert("1"), "PNG"),
        "png_turned": turned("PNG", 8),
        "bmp": saved(rgb, "BMP"),
        "bmp_palette": saved(rgb.quantize(64), "BMP"),
        "bmp_rle": rle_bmp(),
        "gif": saved(rgb.quantize(64), "GIF"),
        "gif_frames": saved(rgb.quantize(64), "GIF", save_all=True, append_images=[grey.quantize(16)]),
        "webp": saved(rgb, "WEBP", quality=90),
        "webp_lossless": saved(rgb, "WEBP", lossless=True),
        "webp_alpha": saved(alpha, "WEBP"),
        "webp_turned": turned("WEBP", 6),
        "webp_frames": saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90, expand=False)]),
        "tiff": saved(rgb, "TIFF"),
        "tiff_big_endian": saved(Image.fromarray(deep.astype(">u2")), "TIFF"),
        "tiff_grey16": saved(Image.fromarray(deep), "TIFF"),
        "tiff_float": saved(Image.fromarray(deep.astype(np.float32) / 1e3), "TIFF"),
        "tiff_int32": saved(Image.fromarray(deep.astype(np.int32) - 1000), "TIFF"),
        "tiff_cmyk": saved(rgb.convert("CMYK"), "TIFF"),
        "tiff_1bit": saved(grey.convert("1"), "TIFF", compression="group4"),
        "tiff_pages": saved(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(180)]),
        "tiff_turned": turned("TIFF", 6),
        "tiff_tiled": tiled_tiff(),
        "ppm": saved(rgb, "PPM"),
        "pgm_plain": b"P2\n# a comment\n4 3\n255\n" + b" ".join(b"%d" % (i * 20) for i in range(12)) + b"\n",
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        made[f"tiff_{compression.removeprefix('tiff_')}"] = saved(rgb, "TIFF", compression=compression)
    if features.check("avif"):
        made["avif"] = saved(rgb, "AVIF", quality=80)
        made["avif_turned"] = turned("AVIF", 6)
    if importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()
        made["heif"] = saved(rgb, "HEIF", quality=80)
    return made


def scan_bomb(n_scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: a few bytes each, a pass over all pixels each."""
    content = saved(Image.new("L", (3000, 3000), 90), "JPEG", progressive=True)
    start, end = content.rfind(b"\xff\xda"), content.rfind(b"\xff\xd9")
    return content[:end] + content[start:end] * n_scans + content[end:]


def rle_bmp() -> bytes:
    """An 8-bit run-length BMP, which Pillow reads and does not write: eight rows of 16 pixels in runs."""
    rows = b"".join(bytes([8, row, 8, 255 - row, 0, 0]) for row in range(0, 80, 10)) + b"\0\1"
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, 16, 8, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def tiled_tiff() -> bytes:
    """A deflated grey TIFF of 16 x 16 tiles, 72 x 48: Pillow reads tiles and writes only strips."""
    grey = np.asarray(Image.fromarray(picture()).convert("L"))
    padded = np.zeros((48, 80), np.uint8)
    padded[:, :72] = grey
    tiles = [
        zlib.compress(padded[y : y + 16, x : x + 16].tobytes()) for y in range(0, 48, 16) for x in range(0, 80, 16)
    ]
    data, offsets = b"", []
    for tile in tiles:
        offsets.append(8 + len(data))
        data += tile + b"\0" * (len(tile) % 2)
    arrays = 8 + len(data)
    n = len(tiles)
    data += struct.pack(f"<{n}I", *offsets) + struct.pack(f"<{n}I", *(len(tile) for tile in tiles))
    tags = [(256, 72), (257, 48), (258, 8), (259, 8), (262, 1), (277, 1), (322, 16), (323, 16)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    entries += [struct.pack("<HHII", 324, 4, n, arrays), struct.pack("<HHII", 325, 4, n, arrays + 4 * n)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory
