"""Surfaces: facing outward, closed, and where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantdemo.drawing import mesh
from plantdemo.drawing.mesh import Mesh


def volume(solid: Mesh) -> float:
    """By the divergence theorem over the two triangles of each face: positive only if faces turn outward."""
    q = solid.quads.astype(np.float64)
    total = 0.0
    for a, b, c, d in q:
        total += np.dot(a, np.cross(b, c)) / 6 + np.dot(a, np.cross(c, d)) / 6
    return total


SOLIDS = [
    ("cylinder", mesh.cylinder(0.5, -1, 1, segments=64), np.pi * 0.25 * 2, 0.01),
    ("ball", mesh.ball(1.0, 48), 4 / 3 * np.pi, 0.02),
    ("torus", mesh.torus(1.0, 0.2, 64, 32), 2 * np.pi**2 * 0.04, 0.02),
    ("box", mesh.box(1.0, 2.0, 0.5), 1.0, 1e-5),
    ("gear", mesh.extrude(mesh.polygon(6, 1.0), 0, 2), 3 * np.sqrt(3), 1e-4),
]


@pytest.mark.parametrize(("name", "solid", "expected", "tolerance"), SOLIDS, ids=[s[0] for s in SOLIDS])
def test_solids_are_closed_and_face_outward(name: str, solid: Mesh, expected: float, tolerance: float) -> None:
    assert volume(solid) == pytest.approx(expected, rel=tolerance)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1), st.floats(-3, 3))
def test_turning_keeps_sizes_and_carries_z_along_the_axis(axis: tuple[float, float, float], spin: float) -> None:
    solid = mesh.cylinder(0.3, 0, 2, segments=12)
    turned = mesh.turned(solid, axis, spin)
    assert volume(turned) == pytest.approx(volume(solid), rel=1e-3)
    unit = np.asarray(axis) / np.linalg.norm(axis)
    np.testing.assert_allclose(turned.quads @ unit, solid.quads[..., 2], atol=1e-5)


def test_a_panel_has_the_coordinates_of_a_picture() -> None:
    panel = mesh.panel(2.0, 1.0, 2)
    top_left = np.argmin(np.abs(panel.quads.reshape(-1, 3) - (-1, 0.5, 0)).sum(axis=1))
    np.testing.assert_allclose(panel.uv.reshape(-1, 2)[top_left], (0, 0), atol=1e-6)


def test_a_curve_starts_and_ends_at_its_outer_controls() -> None:
    controls = [(0, 0, 0), (1, 2, 0), (3, 1, 1), (4, 4, 2)]
    line = mesh.curve(controls, 9)
    np.testing.assert_allclose(line[[0, -1]], [controls[0], controls[-1]], atol=1e-5)
    # de Casteljau at one half, written out
    points = np.asarray(controls, float)
    while len(points) > 1:
        points = (points[:-1] + points[1:]) / 2
    np.testing.assert_allclose(line[4], points[0], atol=1e-5)
