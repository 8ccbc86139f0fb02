"""Scaling against Pillow's own, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgsearch.images import resampling
from imgsearch.images.filters import FILTERS
from imgsearch.images.resampling import resized

SIDES = st.integers(1, 90)


@pytest.fixture(autouse=True, scope="module")
def _compiled_from_the_first_image() -> None:
    resampling.PILLOW_FIRST = 0


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Noise of three kinds: grey levels all over, black and white only, and a smooth slope."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    if seed % 3 == 1:
        return Image.fromarray((rng.integers(0, 2, (height, width, 3)) * 255).astype(np.uint8))
    return Image.fromarray(
        np.add.outer(np.arange(height), np.arange(width * 3)).astype(np.uint8).reshape(height, -1, 3)
    )


@settings(max_examples=200, deadline=None)
@given(
    have=st.tuples(SIDES, SIDES),
    wanted=st.tuples(SIDES, SIDES),
    filter=st.sampled_from(list(FILTERS)),
    seed=st.integers(0, 99),
)
def test_the_bytes_are_those_of_pillow(
    have: tuple[int, int], wanted: tuple[int, int], filter: Image.Resampling, seed: int
) -> None:
    image = picture(*have, seed)
    box = (0, 0, *have)
    assert resized(image, wanted, filter, box).tobytes() == image.resize(wanted, filter, box).tobytes()


@settings(max_examples=200, deadline=None)
@given(
    have=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    wanted=st.tuples(SIDES, SIDES),
    cut=st.tuples(*[st.floats(0, 0.49)] * 4),
    filter=st.sampled_from(list(FILTERS)),
)
def test_a_part_of_a_picture_too(
    have: tuple[int, int], wanted: tuple[int, int], cut: tuple[float, ...], filter: Image.Resampling
) -> None:
    image = picture(*have, 0)
    box = (have[0] * cut[0], have[1] * cut[1], have[0] * (1 - cut[2]), have[1] * (1 - cut[3]))
    assert resized(image, wanted, filter, box).tobytes() == image.resize(wanted, filter, box).tobytes()


@pytest.mark.parametrize("have", [(640, 480), (4032, 3024), (1, 5000), (5000, 1), (1, 1)])
@pytest.mark.parametrize("filter", list(FILTERS))
def test_photographs_and_odd_shapes(have: tuple[int, int], filter: Image.Resampling) -> None:
    image = picture(*have, 2)
    box = (0, 0, *have)
    assert resized(image, (224, 224), filter, box).tobytes() == image.resize((224, 224), filter, box).tobytes()


def test_what_is_left_to_pillow() -> None:
    grey = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30))
    box = (0, 0, 30, 20)
    for filter in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.NEAREST):
        for image in (grey, grey.convert("RGB")):
            assert resized(image, (7, 9), filter, box).tobytes() == image.resize((7, 9), filter, box).tobytes()


def test_the_first_images_of_a_process_do_not_wait_for_the_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(
        resampling, "resample", lambda pixels, size, *_: ran.append(size) or np.zeros((*size, 4), np.uint8)
    )
    monkeypatch.setattr(resampling, "PILLOW_FIRST", 2)
    monkeypatch.setattr(resampling, "_seen", 0)
    for _ in range(3):
        resized(picture(20, 10, 0), (5, 5), Image.Resampling.BICUBIC, (0, 0, 20, 10))
    assert ran == [(5, 5)]
