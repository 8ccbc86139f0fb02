"""Files as a phone writes them, and as they get damaged."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from plantdemo.drawing.camera import ORIENTATION, expose, frame, jpeg
from plantdemo.drawing.damage import DAMAGES, NEAR_COPIES, damaged, near_copy


def photograph(width: int = 320, height: int = 240) -> Image.Image:
    """Red on the left, blue at the lower right: its orientation can be told."""
    image = Image.new("RGB", (width, height), (60, 60, 60))
    image.paste((220, 30, 30), (0, 0, width // 4, height))
    image.paste((30, 30, 220), (width * 3 // 4, height // 2, width, height))
    return image


def test_frames_are_of_phones() -> None:
    sizes = {frame(np.random.default_rng(s)) for s in range(200)}
    assert {max(s) for s in sizes} <= set(range(640, 1601))
    assert {round(max(s) / min(s), 3) for s in sizes} == {1.333}
    assert any(w > h for w, h in sizes)
    assert any(h > w for w, h in sizes)


def test_all_orientations_are_displayed_upright() -> None:
    expected = np.asarray(photograph(160, 120)).astype(int)
    assert np.abs(expected - expected[::-1, ::-1]).mean() > 20  # upside down would be noticed
    seen = set()
    for s in range(200):
        content = jpeg(photograph(160, 120), np.random.default_rng(s), date(2024, 3, 1))
        with Image.open(io.BytesIO(content)) as stored:
            seen.add(stored.getexif()[ORIENTATION])
            upright = np.asarray(ImageOps.exif_transpose(stored)).astype(int)
        assert upright.shape == expected.shape
        assert np.abs(upright - expected).mean() < 8
    assert seen == {1, 3, 6, 8}


def test_exposure_keeps_the_size_and_adds_noise() -> None:
    flat = Image.new("RGB", (400, 300), (110, 110, 110))
    for s in range(12):
        out = np.asarray(expose(flat, np.random.default_rng(s))).astype(float)
        assert out.shape == (300, 400, 3)
        assert 0.5 < out.std(axis=(0, 1)).max() < 40


def content_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.mark.parametrize("way", NEAR_COPIES)
def test_near_copies_are_readable_and_other_bytes(way: str) -> None:
    content = content_of(photograph())
    copy = near_copy(content, way, np.random.default_rng(0))
    assert copy != content
    with Image.open(io.BytesIO(copy)) as image:
        image.load()
        thumb = np.asarray(image.resize((8, 6))).astype(float)
    assert abs(thumb - np.asarray(photograph().resize((8, 6)))).mean() < 25


@pytest.mark.parametrize("way", DAMAGES)
@pytest.mark.parametrize("seed", range(5))
def test_damaged_files_do_not_open(way: str, seed: int) -> None:
    content = damaged(content_of(photograph()), way, np.random.default_rng(seed))
    with pytest.raises((OSError, UnidentifiedImageError)), Image.open(io.BytesIO(content)) as image:
        image.load()


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        near_copy(content_of(photograph()), "folded", np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be one of"):
        damaged(b"", "burnt", np.random.default_rng(0))
