"""Thumbnails: small, upright, without metadata, and never an exception."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from support.image_files import scan_bomb

from imgsearch.images.decode import DecodeLimits, decode
from imgsearch.report.thumbnails import thumbnail, thumbnail_of


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def opened(content: bytes | None) -> Image.Image:
    assert content is not None
    image = Image.open(io.BytesIO(content))
    assert image.format == "JPEG"
    image.load()
    return image


def halves(width: int = 400, height: int = 200) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), (220, 20, 20))
    image.paste((20, 20, 220), (width // 2, 0, width, height))
    return image


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 200))
def test_size_and_proportions(width: int, height: int, size: int) -> None:
    small = opened(thumbnail(encoded(Image.new("RGB", (width, height), (9, 99, 9)), "JPEG"), size))
    assert max(small.size) == min(size, max(width, height))
    scale = max(small.size) / max(width, height)
    assert abs(small.width - width * scale) <= 1
    assert abs(small.height - height * scale) <= 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(form: str) -> None:
    small = opened(thumbnail(encoded(halves(), form))).convert("RGB")
    assert small.size == (160, 80)
    assert np.abs(np.subtract(small.getpixel((20, 40)), (220, 20, 20))).max() < 25
    assert np.abs(np.subtract(small.getpixel((140, 40)), (20, 20, 220))).max() < 25


@pytest.mark.parametrize(("orientation", "red_at"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom")])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(orientation: int, red_at: str, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SECRET-CAMERA"
    content = thumbnail(encoded(halves(), form, exif=exif))
    small = opened(content).convert("RGB")
    assert b"SECRET" not in (content or b"")
    assert not small.getexif()
    w, h = small.size
    spots = {
        "left": (w // 8, h // 2),
        "right": (w - w // 8, h // 2),
        "top": (w // 2, h // 8),
        "bottom": (w // 2, h - h // 8),
    }
    assert (w > h) == (red_at in ("left", "right"))
    assert small.getpixel(spots[red_at])[0] > 150


def test_transparent_is_white() -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    paletted = clear.quantize(4)
    for image in (clear, clear.convert("LA"), paletted):
        assert min(opened(thumbnail(encoded(image, "PNG"))).convert("RGB").getpixel((20, 20))) > 250


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA"])
def test_modes(mode: str) -> None:
    content = encoded(halves().convert(mode), "TIFF")
    assert opened(thumbnail(content)).size == (160, 80)


def test_sixteen_bits_are_stretched() -> None:
    ramp = np.linspace(1000, 3000, 200 * 100, dtype=np.uint16).reshape(100, 200)
    grey = np.asarray(opened(thumbnail(encoded(Image.fromarray(ramp), "PNG"))).convert("L"))
    assert grey.min() < 12
    assert grey.max() > 243


def test_floats_with_holes_are_stretched() -> None:
    ramp = np.linspace(-1, 1, 100 * 100, dtype=np.float32).reshape(100, 100)
    ramp[50, 50] = np.nan
    grey = np.asarray(opened(thumbnail(encoded(Image.fromarray(ramp), "TIFF"))).convert("L"))
    assert grey[0].mean() < 12
    assert grey[-1].mean() > 243


@pytest.mark.parametrize(
    "content", [b"", b"not an image", encoded(halves(), "JPEG")[:900], encoded(halves(), "PNG")[:60]],
    ids=["empty", "text", "truncated jpeg", "truncated png"],
)  # fmt: skip
def test_what_cannot_be_decoded_is_none(content: bytes) -> None:
    assert thumbnail(content) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_never_raises(data: st.DataObject) -> None:
    content = bytearray(encoded(halves(64, 48), data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    small = thumbnail(bytes(content))
    assert small is None or max(opened(small).size) <= 160


def test_the_limits_of_the_network_hold_here_too() -> None:
    assert thumbnail(encoded(halves(), "PNG"), limits=DecodeLimits(max_pixels=1000)) is None
    scan = scan_bomb(5000)
    started = time.perf_counter()
    assert thumbnail(scan, limits=DecodeLimits(seconds=0.3)) is None
    assert time.perf_counter() - started < 4.0


def test_deep_pictures_are_shown_as_the_network_sees_them() -> None:
    """By quantiles: a few hot pixels do not darken the rest."""
    ramp = np.linspace(1000, 3000, 160 * 80, dtype=np.uint16).reshape(80, 160).copy()
    ramp[0, 0] = 65535
    content = encoded(Image.fromarray(ramp), "PNG")
    seen = decode(content, (80, 160))
    shown = np.asarray(opened(thumbnail(content)).convert("RGB"))
    assert np.abs(shown.astype(int) - seen).mean() < 3


def test_postscript_is_handed_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pillow would call ``gs`` for an EPS; here one on the path leaves a trace."""
    trace = tmp_path / "called"
    ghost = tmp_path / "gs"
    ghost.write_text(f"#!/bin/sh\ntouch {trace}\n")
    ghost.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    eps = encoded(halves(), "EPS")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for once a process
    with contextlib.suppress(OSError), Image.open(io.BytesIO(eps)) as image:
        image.load()
    assert trace.exists()  # the trace works
    trace.unlink()
    assert thumbnail(eps) is None
    assert not trace.exists()


def test_bytes_of_another_image_have_no_thumbnail() -> None:
    content = encoded(halves(), "PNG")
    assert thumbnail_of(hashlib.sha256(content).hexdigest(), content)
    assert thumbnail_of(hashlib.sha256(b"what was ingested").hexdigest(), content) is None
    assert thumbnail_of("query-7", content)


def test_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        thumbnail(b"", 0)
