"""Quality columns against a loop that follows the definitions, and against pictures whose answer is known."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from imgsearch.images.quality import Quality, grey, quality, quality_batch


def by_definition(rgb: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    image = np.asarray(Image.fromarray(rgb).convert("L"))
    height, width = image.shape
    level = [[int(v) / 255 for v in row] for row in image]
    laplacian = [
        level[y - 1][x] + level[y + 1][x] + level[y][x - 1] + level[y][x + 1] - 4 * level[y][x]
        for y in range(1, height - 1)
        for x in range(1, width - 1)
    ]
    flat = [v for row in level for v in row]
    shares = [n / len(flat) for n in Counter(image.ravel().tolist()).values()]
    sharpness = float(np.var(laplacian)) if laplacian else 0.0
    return sharpness, float(np.mean(flat)), float(np.std(flat)), -sum(p * math.log2(p) for p in shares)


IMAGES = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda s: arrays(np.uint8, (*s, 3)))


@given(IMAGES)
@settings(max_examples=80, deadline=None)
def test_it_is_what_the_definitions_say(rgb: NDArray[np.uint8]) -> None:
    np.testing.assert_allclose(quality(rgb), by_definition(rgb), rtol=1e-5, atol=1e-6)


@given(arrays(np.uint8, (7, 5, 3)))
@settings(max_examples=60, deadline=None)
def test_grey_is_pillows(rgb: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(grey(rgb), np.asarray(Image.fromarray(rgb).convert("L")))


def test_known_pictures() -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    assert quality(white) == Quality(0.0, 1.0, 0.0, 0.0)
    board = np.repeat((np.indices((20, 20)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert quality(board) == Quality(16.0, 0.5, 0.5, 1.0)  # the Laplacian is +4 and -4
    every = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None], 3, axis=2)
    assert quality(every).entropy == pytest.approx(8.0)


def test_blur_lowers_sharpness() -> None:
    rng = np.random.default_rng(1)
    noisy = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    soft = noisy.resize((16, 16)).resize((64, 64), Image.Resampling.BICUBIC)
    assert quality(np.asarray(soft)).sharpness < 0.1 * quality(np.asarray(noisy)).sharpness


def test_batch_is_the_single_form_repeated() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (5, 31, 17, 3), dtype=np.uint8)
    batch = quality_batch(rgb)
    assert batch.shape == (5, 4)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, np.array([quality(image) for image in rgb], np.float32))
    assert quality_batch(rgb[:0]).shape == (0, 4)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3), (2, 4, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        quality(np.zeros(shape, np.uint8))


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        quality(np.zeros((4, 4, 3)))  # type: ignore[arg-type]
