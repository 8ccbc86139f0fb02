"""Views and renderings: geometry against a naive projection, and pictures that show their item."""

from __future__ import annotations

import numpy as np
import pytest

from plantdemo.drawing import mesh
from plantdemo.drawing.kinds import KINDS
from plantdemo.drawing.model import Material, Model
from plantdemo.drawing.render import Light, Shape, render
from plantdemo.drawing.scene import Item, picture
from plantdemo.drawing.textures import SURFACES, TILE, spread
from plantdemo.drawing.view import look

LIGHT = Light(np.array([0.0, 0.6, 0.8]), np.ones(3, np.float32), np.full(3, 0.3, np.float32), 0.5)


def test_a_plane_homography_agrees_with_projection() -> None:
    view = look(np.zeros(3), 4.0, 0.4, 0.3, 0.1, 700.0, (320.0, 240.0))
    origin, across, along = np.array([0.1, -0.5, 0.2]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    for a, b in [(0, 0), (0.7, -0.3), (-1, 0.5)]:
        h = view.plane(origin, across, along) @ (a, b, 1)
        pixel, _ = view.project((origin + a * across + b * along)[None])
        np.testing.assert_allclose(h[:2] / h[2], pixel[0], rtol=1e-4)


def test_straight_ahead_up_is_up_and_right_is_right() -> None:
    view = look(np.zeros(3), 5.0, 0.0, 0.0, 0.0, 500.0, (320.0, 240.0))
    pixels, depth = view.project(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float))
    np.testing.assert_allclose(pixels, [(320, 240), (420, 240), (320, 140), (320, 240)], atol=1e-3)
    np.testing.assert_allclose(depth, [5, 5, 5, 4], atol=1e-5)


def test_the_nearer_box_hides_the_farther() -> None:
    model = Model("test")
    model.add(mesh.box(2, 2, 0.2), Material((0.9, 0.1, 0.1), gloss=0))
    model.add(mesh.moved(mesh.box(1, 1, 0.2), (0, 0, 1)), Material((0.1, 0.9, 0.1), gloss=0))
    view = look(np.zeros(3), 6.0, 0.0, 0.0, 0.0, 300.0, (160.0, 120.0))
    drawn = render(model, Shape.of(model, (0, 0)), view, LIGHT, (320, 240))
    assert drawn is not None
    image, (left, top) = drawn
    pixels = np.asarray(image)
    middle, corner = pixels[120 - top, 160 - left], pixels[120 - top - 42, 160 - left - 42]
    assert middle[1] > 2 * middle[0]
    assert corner[0] > 2 * corner[1]
    assert pixels[0, 0, 3] == 0


def test_an_item_out_of_the_frame_is_not_drawn() -> None:
    model = Model("test")
    model.add(mesh.moved(mesh.box(1, 1, 1), (50, 0, 0)), Material())
    view = look(np.zeros(3), 6.0, 0.0, 0.0, 0.0, 300.0, (160.0, 120.0))
    assert render(model, Shape.of(model, (0, 0)), view, LIGHT, (320, 240)) is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_fills_a_good_part_of_a_straight_view(kind: str) -> None:
    item = Item.make(kind, 0, 7)
    view = look(np.zeros(3), 5.0, 0.2, 0.25, 0.0, 500.0, (200.0, 150.0))
    drawn = render(item.model, item.shape, view, LIGHT, (400, 300))
    assert drawn is not None
    alpha = np.asarray(drawn[0])[..., 3]
    assert 0.04 < (alpha > 127).sum() / (400 * 300) < 0.9


def test_the_same_item_is_the_same_and_another_is_another() -> None:
    first, again, other, seeded = (Item.make("pressure_gauge", n, s) for n, s in ((0, 7), (0, 7), (1, 7), (0, 8)))
    np.testing.assert_array_equal(first.shape.quads, again.shape.quads)
    for different in (other, seeded):
        a, b = first.shape.quads, different.shape.quads
        assert a.shape != b.shape or not np.allclose(a, b)


def test_two_visits_differ_but_a_visit_repeats() -> None:
    item = Item.make("fan", 0, 7)
    shots = [np.asarray(picture(item, (320, 240), np.random.default_rng(s))) for s in (1, 1, 2)]
    np.testing.assert_array_equal(shots[0], shots[1])
    assert np.abs(shots[0].astype(int) - shots[2]).mean() > 5


@pytest.mark.parametrize("name", list(SURFACES))
def test_surfaces_repeat_without_a_seam(name: str) -> None:
    pixels = np.asarray(spread(name)[0])[:TILE, :TILE].astype(float)
    assert pixels.std() > 5
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels, axis=axis)).mean(axis=(1 - axis, 2))
        seam = np.abs(pixels.take(0, axis) - pixels.take(-1, axis)).mean()
        assert seam <= steps.max() * 1.05
