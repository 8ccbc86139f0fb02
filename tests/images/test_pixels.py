"""The window that turns deep grey into 8 bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.images.pixels import window


@given(st.lists(st.one_of(st.floats(width=32), st.sampled_from([np.nan, np.inf, -np.inf])), min_size=1, max_size=60))
def test_window_of_floats_is_monotone_and_total(values: list[float]) -> None:
    levels = np.array([values], np.float32)
    out = window(levels)[0]
    finite = levels[0][np.isfinite(levels[0])]
    order = np.argsort(finite, kind="stable")
    assert (np.diff(out[np.isfinite(levels[0])][order].astype(int)) >= 0).all()
    assert (out[np.isposinf(levels[0])] == 255).all()
    assert (out[np.isneginf(levels[0])] == 0).all()
    if finite.size and finite.max() > finite.min():
        assert out[np.isfinite(levels[0])].max() == 255


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=60))
def test_window_of_integers_is_monotone(values: list[int]) -> None:
    levels = np.array([values], np.int32)
    out = window(levels)[0][np.argsort(levels[0], kind="stable")].astype(int)
    assert (np.diff(out) >= 0).all()
    assert out.max() - out.min() <= levels.max() - np.int64(levels.min())  # never finer than a level a step


def test_window_leaves_8_bit_levels_and_survives_hot_pixels() -> None:
    eight = np.arange(256, dtype=np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(window(eight), eight)
    scene = np.random.default_rng(0).integers(1000, 3000, (300, 300)).astype(np.uint16)
    hot = scene.copy()
    hot[0, :5] = 65535
    assert np.abs(window(hot)[1:].astype(int) - window(scene)[1:]).max() <= 1
