"""The thumbnail that comes from the network's own decode: the same pixels for the network, a small upright JPEG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgsearch.images.decode import DecodeLimits, decode, decode_views
from imgsearch.images.thumbnail import MAX_BYTES, THUMBNAIL_SIZE, as_jpeg
from imgsearch.report.thumbnails import data_uri, thumbnail


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def scene(width: int, height: int) -> Image.Image:
    """Smooth colours, so that any good reduction gives nearly the same picture."""
    rng = np.random.default_rng(width + height)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def opened(jpeg: bytes | None) -> Image.Image:
    assert jpeg is not None
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2500), st.integers(1, 2500), st.sampled_from(["JPEG", "PNG"]), st.sampled_from([1, 3, 6, 8]))
def test_the_network_gets_the_same_pixels_and_the_thumbnail_shows_the_whole(
    width: int, height: int, form: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "SECRET-CAMERA"
    content = encoded(scene(width, height), form, exif=exif)
    decoded = decode_views(content, (224, 224), thumbnail=True)
    assert np.array_equal(decoded.pixels, decode(content, (224, 224)))
    small, plain = opened(decoded.thumbnail), opened(thumbnail(content))
    assert b"SECRET" not in (decoded.thumbnail or b"")
    assert small.size == plain.size
    assert np.abs(np.asarray(small, int) - np.asarray(plain, int)).mean() < 6


def test_a_crop_for_the_network_is_not_one_of_the_thumbnail() -> None:
    image = scene(900, 300)
    image.paste((250, 0, 0), (0, 0, 60, 300))
    decoded = decode_views(encoded(image, "PNG"), (64, 64), fit="crop", resize_to=72, thumbnail=True)
    small = opened(decoded.thumbnail).convert("RGB")
    assert small.size == (160, 53)
    assert small.getpixel((3, 26))[0] > 200 > 100 > small.getpixel((3, 26))[1]


def test_one_in_a_child_process_comes_back_too() -> None:
    content = encoded(scene(500, 400), "JPEG")
    apart = decode_views(content, (32, 32), DecodeLimits(apart=True), thumbnail=True)
    assert apart.thumbnail == decode_views(content, (32, 32), thumbnail=True).thumbnail


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "I;16"])
def test_any_mode_becomes_rgb(mode: str) -> None:
    form = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    content = encoded(scene(300, 200).convert("L" if mode == "I;16" else mode).convert(mode), form)
    assert opened(decode_views(content, (224, 224), thumbnail=True).thumbnail).mode == "RGB"


def test_a_picture_of_noise_still_fits_a_text_of_a_bi_tool() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)).astype(np.uint8)
    jpeg = as_jpeg(Image.fromarray(noise), quality=100)
    assert len(encoded(Image.fromarray(noise), "JPEG", quality=100)) > MAX_BYTES >= len(jpeg)
    assert len(data_uri(jpeg)) <= 32_766
    assert opened(jpeg).width < THUMBNAIL_SIZE
