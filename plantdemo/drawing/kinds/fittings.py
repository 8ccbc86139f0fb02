"""Parts that many kinds share: flanges with bolts, pipes with a run, tags on a chain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plantdemo.drawing import mesh
from plantdemo.drawing.decals import tag_plate
from plantdemo.drawing.mesh import Mesh
from plantdemo.drawing.model import Material, Model

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def put(part: Mesh, at: Sequence[float], axis: Sequence[float] = Z, spin: float = 0.0) -> Mesh:
    """A part turned so that its z points along ``axis``, then moved to ``at``."""
    return mesh.moved(mesh.turned(part, axis, spin), at)


def bolts(count: int, circle: float, size: float, z0: float, z1: float) -> Mesh:
    """A circle of hexagonal bolts about z."""
    head = mesh.extrude(mesh.polygon(6, size), z0, z1)
    angles = (np.arange(count) + 0.5) * 2 * np.pi / count
    return mesh.joined([mesh.moved(head, (circle * float(np.cos(a)), circle * float(np.sin(a)), 0)) for a in angles])


def flange(
    model: Model,
    at: Sequence[float],
    axis: Sequence[float],
    radius: float,
    thick: float,
    count: int,
    plate: Material,
    bolt: Material,
) -> None:
    """A flange of ``thick`` starting at ``at`` along ``axis``, its bolts standing out on both sides."""
    model.add(put(mesh.cylinder(radius, 0, thick, thick * 0.15), at, axis), plate)
    size = min(radius * 0.11, radius * 1.6 / count)
    for z0, z1 in ((thick, thick + size * 1.1), (-size * 1.1, 0.0)):
        model.add(put(bolts(count, radius * 0.8, size, z0, z1), at, axis), bolt)


def plate(
    model: Model, text: str, rng: np.random.Generator, at: Sequence[float], width: float, axis: Sequence[float] = Z
) -> None:
    """A tag plate facing ``axis``."""
    backing = Material((0.45, 0.46, 0.47), gloss=0.3)
    face = Material(gloss=0.35, picture=tag_plate(rng, text))
    model.add(put(mesh.box(width * 1.03, width * 0.395, 0.02), at, axis), backing, 0.02)
    front = (np.asarray(at) + 0.024 * np.asarray(axis)).tolist()
    model.add(put(mesh.panel(width, width * 0.375, 4), front, axis), face, 0.05)
