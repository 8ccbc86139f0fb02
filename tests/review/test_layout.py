"""Places on the map: anchors stay, what is alike lies close, new images go beside those that are like them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.review.layout import arrange, place, shown_rows
from imgsearch.vectors import unit


def test_kinds_lie_apart() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((4, 16)).astype(np.float32))
    kinds = rng.integers(0, 4, 200)
    vectors = unit((centres[kinds] + rng.normal(0, 0.1, (200, 16))).astype(np.float32))
    layout = arrange(vectors, n_anchors=80)
    assert layout.is_anchor.sum() == 80
    middles = np.stack([layout.xy[kinds == k].mean(axis=0) for k in range(4)])
    nearest = np.linalg.norm(layout.xy[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == kinds).mean() > 0.98


def test_an_anchor_lies_on_itself_and_a_stranger_between() -> None:
    anchors = np.eye(4, dtype=np.float32)
    xy = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], np.float32)
    np.testing.assert_allclose(place(anchors, anchors, xy), xy, atol=1e-5)
    between = unit(np.array([[1, 1, 0, 0]], np.float32))
    np.testing.assert_allclose(place(between, anchors, xy), [[2, 0]], atol=1e-5)


def test_few_images_have_a_map_too() -> None:
    for n in range(5):
        assert arrange(np.eye(6, dtype=np.float32)[:n]).xy.shape == (n, 2)


@given(st.integers(0, 50), st.integers(1, 50))
def test_shown_rows_are_some_of_all(n: int, at_most: int) -> None:
    rows = shown_rows(n, at_most)
    assert len(rows) == min(n, at_most)
    assert (np.diff(rows) > 0).all()
    assert np.isin(rows, np.arange(n)).all()
