"""Decoding against Pillow's plain way of doing it, and every way in which a file can be wrong."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from support.image_files import files, picture, saved, scan_bomb, turned

from imgsearch.images import decode as decoding
from imgsearch.images import formats
from imgsearch.images.boxes import Box
from imgsearch.images.decode import DecodeLimits, Header, ImageError, decode, decode_views, read_header
from imgsearch.images.formats import DeadlineFile

# Kinds that Pillow alone would show differently, by the rules in core/pixels.py
BY_RULE = {
    "png_grey16", "png_palette_transparent", "png_alpha", "png_grey_alpha", "webp_alpha",
    "tiff_big_endian", "tiff_grey16", "tiff_float", "tiff_int32",
}  # fmt: skip


def plain(content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The definition: open → exif_transpose → RGB → resize."""
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    return np.asarray(im.resize(size[::-1], Image.Resampling.BICUBIC))


def reason_of(content: bytes, **kwargs: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(content, (32, 32), **kwargs)
    return caught.value.reason


def cosine(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    x, y = a.ravel().astype(float) - 128, b.ravel().astype(float) - 128
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


@pytest.mark.parametrize("kind", sorted(files()))
def test_every_kind_is_decoded(kind: str) -> None:
    out = decode(files()[kind], (32, 40))
    assert out.shape == (32, 40, 3)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    assert out.flags.writeable
    if kind not in BY_RULE:
        np.testing.assert_array_equal(out, plain(files()[kind], (32, 40)))
        same = decode(memoryview(files()[kind]), (32, 40))
        np.testing.assert_array_equal(out, same)


@pytest.mark.parametrize("kind", sorted(files()))
def test_the_header_says_what_is_displayed(kind: str) -> None:
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(files()[kind])))
    format = read_header(files()[kind]).format
    n_pages = 2 if kind == "tiff_pages" else 1
    assert read_header(files()[kind]) == Header(format, im.width, im.height, n_pages)
    assert format == kind.split("_")[0].upper().replace("PGM", "PPM")  # lower-case kinds name their format first


@pytest.mark.parametrize("kind", sorted(files()))
def test_half_a_file_is_an_error(kind: str) -> None:
    content = files()[kind]
    share = 4 if kind == "tiff_pages" else 2  # half of two pages is one whole page
    assert reason_of(content[: len(content) // share]) == "truncated"


@pytest.mark.parametrize("kind", [k for k in sorted(files()) if k != "pgm_plain"])
def test_what_follows_the_image_does_not_matter(kind: str) -> None:
    expected = decode(files()[kind], (32, 40))
    for more in (b"\0" * 100, b"garbage \xff\xd8\xff\xd9", files()["jpeg"], files()[kind]):
        np.testing.assert_array_equal(decode(files()[kind] + more, (32, 40)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(format: str, orientation: int) -> None:
    content = turned(format, orientation)
    np.testing.assert_array_equal(decode(content, (40, 24)), plain(content, (40, 24)))
    wide = orientation < 5
    assert read_header(content) == Header(format, *((72, 48) if wide else (48, 72)))


@given(width=st.integers(1, 90), height=st.integers(1, 90), grey=st.booleans())
@settings(max_examples=40, deadline=None)
def test_small_images_are_bit_identical(width: int, height: int, grey: bool) -> None:
    im = Image.fromarray(picture(height, width)).convert("L" if grey else "RGB")
    content = saved(im, "JPEG", quality=85)
    if min(width, height) < 4 * 24:
        np.testing.assert_array_equal(decode(content, (24, 24)), plain(content, (24, 24)))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (2, 3)])
@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_odd_shapes(width: int, height: int, fit: str) -> None:
    content = saved(Image.fromarray(picture(height, width)), "PNG")
    assert decode(content, (64, 64), fit=fit, resize_to=72).shape == (64, 64, 3)
    assert read_header(content) == Header("PNG", width, height)


@given(
    width=st.integers(60, 400), height=st.integers(60, 400), size=st.integers(16, 64), extra=st.integers(0, 20),
    resample=st.sampled_from(["bilinear", "bicubic"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_crop_is_torchvisions_recipe(width: int, height: int, size: int, extra: int, resample: str) -> None:
    """Resize the short side, then cut the centre: bit for bit, where nothing was reduced on the way."""
    resize_to = size + extra
    im = Image.fromarray(picture(height, width))
    short, long = min(im.size), max(im.size)
    width, height = (resize_to if side == short else int(resize_to * long / short) for side in im.size)
    resized = im.resize((width, height), Image.Resampling[resample.upper()])
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    expected = np.asarray(resized.crop((left, top, left + size, top + size))).astype(int)
    got = decode(saved(im, "PNG"), (size, size), fit="crop", resize_to=resize_to, resample=resample).astype(int)
    if max(im.width / width, im.height / height) < 8:
        np.testing.assert_array_equal(got, expected)
    else:
        assert np.abs(got - expected).mean() < 1.0


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_large_jpegs_are_reduced_with_little_loss(orientation: int, fit: str) -> None:
    im = Image.fromarray(picture(1500, 2000))
    content = turned("JPEG", orientation, im, quality=90)
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    got = decode(content, (96, 96), fit=fit, resize_to=96)
    if fit == "squash":
        expected = np.asarray(whole.resize((96, 96), Image.Resampling.BICUBIC))
    else:
        expected = np.asarray(ImageOps.fit(whole, (96, 96), Image.Resampling.BICUBIC))
    assert cosine(got, expected) > 0.9995
    assert np.abs(got.astype(int) - expected).mean() < 1.0


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_large_images_of_other_formats_are_reduced_with_little_loss(mode: str) -> None:
    content = saved(Image.fromarray(picture(900, 1200)).convert(mode), "TIFF")
    assert cosine(decode(content, (64, 64)), plain(content, (64, 64))) > 0.9995


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (decode(saved(clear, "PNG"), (4, 4)) == 255).all()
    half = Image.new("LA", (8, 8), (0, 128))
    assert (decode(saved(half, "PNG"), (4, 4)) == 127).all()
    opaque = Image.fromarray(picture()).convert("RGBA")
    np.testing.assert_array_equal(decode(saved(opaque, "PNG"), (32, 40)), plain(saved(opaque, "PNG"), (32, 40)))


def test_adobe_cmyk_is_not_negative() -> None:
    content = saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG")
    assert decode(content, (4, 4)).min() > 250


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_deep_grey_keeps_its_picture_whatever_its_bits(bits: int, format: str) -> None:
    slope = np.linspace(0, 2**bits - 1, 64 * 64).reshape(64, 64).astype(np.uint16)
    grey = decode(saved(Image.fromarray(slope), format), (64, 64))[..., 0].astype(float)
    assert grey.min() == 0
    assert grey.max() == 255
    assert np.abs(grey - np.linspace(0, 255, 64 * 64).reshape(64, 64)).max() < 2


def test_white_is_zero_holds_for_deep_grey() -> None:
    deep = np.linspace(0, 60000, 64).reshape(8, 8).astype(np.uint16)
    content = bytearray(saved(Image.fromarray(deep), "TIFF"))
    entry = content.index(struct.pack("<HHI", 262, 3, 1))
    content[entry + 8] = 0
    grey = decode(bytes(content), (8, 8))[..., 0]
    assert grey[0, 0] == 255
    assert grey[7, 7] == 0


def test_what_is_no_image() -> None:
    assert reason_of(b"") == "empty"
    assert reason_of(b"hello, this is a text file") == "not_an_image"
    assert reason_of(b"%PDF-1.7\n....") == "unsupported"
    assert reason_of(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom") == "unsupported"
    assert reason_of(b"\xff\xd8\xff") == "truncated"
    assert reason_of(b"\x89PNG\r\n\x1a\n") == "truncated"


def png_claiming(width: int, height: int, colour: int = 0) -> bytes:
    content = bytearray(saved(Image.new("L", (4, 4)), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[25] = colour
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def webp_claiming(width: int, height: int) -> bytes:
    content = bytearray(files()["webp_alpha"])
    content[24:27], content[27:30] = (width - 1).to_bytes(3, "little"), (height - 1).to_bytes(3, "little")
    return bytes(content)


def jpeg_claiming(width: int, height: int) -> bytes:
    content = bytearray(files()["jpeg"])
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def gif_claiming(width: int, height: int) -> bytes:
    content = bytearray(files()["gif"])
    content[6:10] = struct.pack("<HH", width, height)
    return bytes(content)


def bmp_claiming(width: int, height: int) -> bytes:
    content = bytearray(files()["bmp"])
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def tiff_claiming(width: int, height: int, tags: tuple[int, int] = (256, 257), kind: str = "tiff") -> bytes:
    content = bytearray(files()[kind])
    for tag, value in zip(tags, (width, height), strict=True):
        at = max(content.find(struct.pack("<HHI", tag, type_, 1)) for type_ in (3, 4))
        content[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    return bytes(content)


def ppm_claiming(width: int, height: int) -> bytes:
    return b"P6 %d %d 255\n" % (width, height)


CLAIMING = [png_claiming, webp_claiming, jpeg_claiming, gif_claiming, bmp_claiming, tiff_claiming, ppm_claiming]


@pytest.mark.parametrize("claiming", CLAIMING)
def test_too_many_pixels_are_refused_by_the_header(claiming: Callable[[int, int], bytes]) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started = time.perf_counter()
        assert reason_of(claiming(16000, 15000)) == "too_many_pixels"
        with pytest.raises(ImageError, match="too_many_pixels"):
            read_header(claiming(16000, 15000))
        assert time.perf_counter() - started < 1.0
        assert reason_of(claiming(2000, 2000), limits=DecodeLimits(max_pixels=1_000_000)) == "too_many_pixels"
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_tiffs_tile_counts_too() -> None:
    content = tiff_claiming(60000, 60000, tags=(322, 323), kind="tiff_tiled")
    assert reason_of(content) == "too_many_pixels"


def test_more_pixels_than_pillow_allows_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("jpeg", "tiff", "webp", "gif", "tiff_lzw"):
            decode(files()[kind], (32, 40))
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pillows_limit_is_restored_by_the_last_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    threads = [threading.Thread(target=lambda: [decode(c, (16, 16)) for c in files().values()]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Image.MAX_IMAGE_PIXELS == 12345


def test_a_decode_that_takes_too_long_is_stopped_in_any_thread() -> None:
    found: list[str] = []
    content = scan_bomb(5000)
    started = time.perf_counter()
    thread = threading.Thread(target=lambda: found.append(reason_of(content, limits=DecodeLimits(seconds=0.3))))
    thread.start()
    thread.join(timeout=20)
    assert found == ["timeout"]
    assert time.perf_counter() - started < 4.0


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "bmp_rle", "ppm", "tiff"])
def test_the_deadline_is_seen_while_reading(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow file: every read takes 30 ms, more than the limit by the clock, and the pixels alone take several."""
    reads = 0

    def slow(self: DeadlineFile, size: int | None = -1, /) -> bytes:
        nonlocal reads
        reads += 1
        time.sleep(0.03)
        self.check()
        return io.BytesIO.read(self, size)

    monkeypatch.setattr(DeadlineFile, "read", slow)
    assert reason_of(files()[kind], limits=DecodeLimits(seconds=0.002)) == "timeout"
    assert reads == 1


def test_a_decoder_that_cannot_be_stopped_is_ended_with_its_process() -> None:
    content = saved(Image.fromarray(picture(2000, 3000)), "WEBP", lossless=True, quality=0, method=0)
    assert decode(content, (8, 8), DecodeLimits(seconds=5)).shape == (8, 8, 3)
    started = time.process_time()
    assert reason_of(content, limits=DecodeLimits(seconds=0.05)) == "timeout"
    assert time.process_time() - started < 0.2  # the work was another process's


def test_time_is_counted_as_cpu_time() -> None:
    """A machine that does other things meanwhile says nothing about the picture."""
    fp = DeadlineFile(b"picture", 0.05)
    time.sleep(0.1)
    assert fp.read() == b"picture"
    until = time.thread_time() + 0.06
    while time.thread_time() < until:
        pass
    with pytest.raises(ImageError, match="not decoded within"):
        fp.read()


@pytest.mark.parametrize("kind", ["png_alpha", "tiff_lzw", "jpeg_progressive", "webp_alpha", "png_grey16", "gif"])
def test_a_child_process_decodes_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = files()[kind]
    here = decode(content, (32, 40))
    monkeypatch.setattr(decoding, "IN_PROCESS", 0)
    there = decode(content, (32, 40))
    np.testing.assert_array_equal(here, there)
    assert there.flags.writeable
    assert reason_of(content[: len(content) // 2]) == "truncated"


@pytest.mark.parametrize(
    "content", [lambda: webp_claiming(16383, 12000), lambda: png_claiming(14000, 14000, colour=2)], ids=["WEBP", "PNG"]
)
def test_what_would_fill_more_memory_is_refused_by_its_header(content: Callable[[], bytes]) -> None:
    with pytest.raises(ImageError, match=r"takes .* MB to decode, more than") as caught:
        decode(content(), (32, 32))
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("kind", ["jpeg", "jpeg_444", "jpeg_restarts", "jpeg_grey", "jpeg_cmyk"])
@pytest.mark.parametrize("ending", [b"\xff\xd9", b"\xff\xd9 trailing", files()["jpeg"]])
def test_a_cut_jpeg_with_an_ending_is_no_grey_half_picture(kind: str, ending: bytes) -> None:
    content = files()[kind]
    scan = content.index(b"\xff\xda") + 14
    for share in (0.2, 0.5, 0.9):
        assert reason_of(content[: scan + int((len(content) - scan) * share)] + ending) == "truncated"


@pytest.mark.parametrize(("width", "height"), [(14000, 14000), (2000, 2000), (600, 400)])
def test_a_progressive_jpeg_with_another_ones_size_is_no_picture(width: int, height: int) -> None:
    content = bytearray(files()["jpeg_progressive"])
    at = content.index(b"\xff\xc2")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    assert reason_of(bytes(content)) == "truncated"
    assert reason_of(bytes(content[: len(content) // 2]) + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (9, 17), (640, 480), (1999, 1501)])
def test_flat_progressive_jpegs_have_bits_enough(size: tuple[int, int], subsampling: int) -> None:
    """One bit a block, the least there can be."""
    for im in (Image.new("RGB", size, (9, 9, 200)), Image.new("L", size, 7)):
        content = saved(im, "JPEG", progressive=True, subsampling=subsampling, quality=10)
        assert decode(content, (16, 16)).std(axis=(0, 1)).max() < 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_pictures_are_not_taken_for_lost_tails(mode: str) -> None:
    for level in (127, 128):
        im = Image.new("RGB", (100, 80), (level,) * 3).convert(mode)
        assert set(np.unique(decode(saved(im, "JPEG"), (24, 24)))) <= {127, 128}
        assert decode(saved(im, "JPEG", progressive=True), (24, 24)).shape == (24, 24, 3)


def test_requests_that_make_no_sense() -> None:
    content = files()["png"]
    for kwargs in ({"resample": "sinc"}, {"fit": "stretch"}, {"fit": "crop"}, {"fit": "crop", "resize_to": 10}):
        with pytest.raises(ValueError, match=r"needs|unknown"):
            decode(content, (32, 32), **kwargs)
    with pytest.raises(ValueError, match="at least"):
        decode(content, (0, 32))


def test_every_reason_is_a_known_word() -> None:
    assert set(formats.REASONS) == {
        "empty", "not_an_image", "unsupported", "truncated", "too_many_pixels", "timeout", "out_of_memory",
        "decode_error", "killed_worker",
    }  # fmt: skip


def test_damaged_tiffs_do_not_write_to_stderr() -> None:
    script = """
import sys; sys.path.insert(0, sys.argv[1])
from support.image_files import files
from imgsearch.images.decode import decode, ImageError
for kind in ("tiff_lzw", "tiff_adobe_deflate", "tiff_zstd", "tiff_jpeg"):
    content = bytearray(files()[kind])
    for at in range(8, 600, 7):
        content[at] ^= 0x55
    try:
        decode(bytes(content), (8, 8))
    except ImageError:
        pass
print("done")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[1])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.stdout == "done\n"
    assert ran.stderr == ""


@pytest.mark.parametrize(("size", "side"), [((3000, 2000), 64), ((90, 70), 64), ((64, 200), 32)])
@pytest.mark.parametrize(("fit", "resize_to"), [("squash", None), ("crop", 72)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_detail_is_the_same_view_larger_and_costs_the_picture_nothing(
    size: tuple[int, int], side: int, fit: str, resize_to: int | None, kind: str
) -> None:
    out = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize(size).save(out, kind, quality=95)
    recipe = (None, "bicubic", fit, resize_to)
    pixels, _, detail, frame = decode_views(out.getvalue(), (side, side), *recipe, detail=(2 * side, 2 * side))
    np.testing.assert_array_equal(pixels, decode(out.getvalue(), (side, side), *recipe))
    assert detail is not None
    assert detail.shape == (2 * side, 2 * side, 3)
    assert (frame == (0, 0, 1, 1)) == (fit == "squash")
    assert Box(*frame).lies_inside
    halved = detail.reshape(side, 2, side, 2, 3).mean((1, 3))
    assert np.abs(halved - pixels).mean() < 3
