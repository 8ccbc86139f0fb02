"""What other decoders read is read, or refused with the true reason; and rules that browsers and libvips follow."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image
from support.image_files import files, picture, saved, turned
from support.odd_images import UNREAD, WHOLE, rgb, small_gif_frame, tiff

from imgsearch.images import gif, pixels
from imgsearch.images.decode import Header, ImageError, decode, read_header

SIZE = (48, 72)


def refusal(content: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(content, SIZE)
    return caught.value


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_pixels_are_read_whatever_stands_beside_them(kind: str) -> None:
    content = WHOLE[kind]()
    header = read_header(content)
    assert (header.width, header.height) == (72, 48)
    far = np.abs(decode(content, SIZE).astype(int) - picture()).mean()
    assert far < (5 if kind.startswith("jpeg") or "scanner" in kind else 0.5)


@pytest.mark.parametrize("kind", UNREAD)
def test_what_is_not_read_is_named(kind: str) -> None:
    content, reason, said = UNREAD[kind]
    error = refusal(content)
    assert error.reason == reason
    assert said in error.detail
    with pytest.raises(ImageError):
        read_header(content)


def test_heic_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    error = refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert error.reason == "unsupported"
    assert "in a checkout: bash setup.sh extra heif" in error.detail


def test_a_lossless_jpeg_is_named() -> None:
    content = files()["jpeg"]
    at = content.index(b"\xff\xc0")
    error = refusal(content[:at] + b"\xff\xc3" + content[at + 2 :])
    assert (error.reason, error.detail) == ("unsupported", "JPEG: lossless coding is not read")
    assert refusal(content[:at] + b"\xff\xc0\0\x11" + b"\0" * 15 + content[at + 19 :]).reason != "unsupported"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turns_still(format: str) -> None:
    assert read_header(turned(format, 6)) == Header(format, 48, 72)


def test_around_a_gifs_frame_there_is_nothing() -> None:
    out = decode(small_gif_frame(), (20, 20))
    assert out[0, 0].tolist() == out[19, 19].tolist() == [255, 255, 255]
    assert out[5, 5].tolist() == out[14, 14].tolist() == [0, 255, 0]


def test_a_huge_canvas_around_a_small_frame_costs_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(small_gif_frame())
    content[6:10] = (3000).to_bytes(2, "little") * 2
    whole = decode(bytes(content), (75, 75), resample="box")
    monkeypatch.setattr(gif, "BAND", 3000 * 30)
    np.testing.assert_array_equal(decode(bytes(content), (75, 75), resample="box"), whole)
    assert whole[1:].min() == 255
    assert whole[0, 0].tolist() != [255, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("band", [1 << 22, 200])
def test_a_white_logo_that_lives_in_its_alpha_is_seen(mode: str, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "BAND", band)
    alpha = Image.fromarray(np.kron(np.eye(4), np.full((10, 10), 255)).astype(np.uint8))
    logo = Image.new("RGB", alpha.size, "white")
    logo.putalpha(alpha)
    content = saved(logo.convert(mode) if mode != "P" else logo.quantize(4), "PNG")
    out = decode(content, (40, 40))
    assert out[5, 5].tolist() == [255, 255, 255]
    assert out[5, 35].tolist() == [0, 0, 0]
    for colour, page in (("black", 255), ("red", 255)):
        seen = Image.new("RGB", alpha.size, colour)
        seen.putalpha(alpha)
        assert decode(saved(seen, "PNG"), (40, 40))[5, 35].tolist() == [page] * 3
    for level in (0, 255):  # nothing in the alpha
        logo.putalpha(level)
        assert decode(saved(logo, "PNG"), (40, 40)).min() == 255


def test_pages_of_a_tiff_are_counted() -> None:
    pages = [rgb(), rgb().rotate(180), rgb().convert("L")]
    assert read_header(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])).n_pages == 3
    assert read_header(saved(pages[0], "TIFF")).n_pages == 1
    assert read_header(WHOLE["bigtiff"]()).n_pages == 1
    assert read_header(saved(rgb(), "GIF", save_all=True, append_images=pages[1:])).n_pages == 1
    tags = {256: (4,), 257: (4,), 258: (8,), 259: (1,), 262: (1,), 273: (8,), 277: (1,), 278: (4,), 279: (16,)}
    start = 8 + 16
    assert read_header(tiff("<", b"\0" * 16, tags, next_directory=start)).n_pages == 1  # a circle
    assert read_header(tiff(">", b"\0" * 16, tags, next_directory=1 << 30)).n_pages == 1  # it leads out of the file
    small = tiff("<", b"\0" * 16, tags | {254: (1,)})  # a reduced copy of the first
    second = len(small)
    whole = tiff("<", b"\0" * 16, tags, next_directory=0)
    both = bytearray(whole + small[start:])
    both[start + 2 + 12 * len(tags) : start + 6 + 12 * len(tags)] = len(whole).to_bytes(4, "little")
    assert second
    assert read_header(bytes(both)).n_pages == 1


#: Deep grey is stretched and CMYK has no profile here (images/pixels.py); libvips' own package has no zstd and no lzma.
APART = {
    "png_grey16", "tiff_big_endian", "tiff_grey16", "tiff_float", "tiff_int32", "jpeg_cmyk", "tiff_cmyk", "tiff_zstd",
    "tiff_lzma",
}  # fmt: skip


def test_an_independent_decoder_agrees() -> None:
    """libvips, where the machine has it (`pip install pyvips[binary]`): thumbnails of what both accept."""
    pyvips = pytest.importorskip("pyvips")
    differing = {}
    for kind, content in (files() | {kind: make() for kind, make in WHOLE.items()}).items():
        if kind in APART:
            continue
        try:
            im = pyvips.Image.new_from_buffer(content, "").autorot()
        except pyvips.Error:
            continue  # libvips lacks this format, or this kind of it
        im = im.colourspace("srgb")
        im = (im.flatten(background=255) if im.hasalpha() else im).cast("uchar")
        theirs = Image.fromarray(im.numpy()[..., :3]).convert("RGB").resize((64, 64), Image.Resampling.BOX)
        ours = decode(content, (64, 64), resample="box")
        far = float(np.abs(np.asarray(theirs).astype(int) - ours).mean())
        if far > 4:
            differing[kind] = round(far, 1)
    assert not differing
