"""Surfaces made of four-cornered faces: revolved, extruded, swept, and flat.

Axes: x to the right, y up, z towards the viewer. A mesh is built around the z axis, then turned and moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

STEP = 0.3  # longest edge of a face along a profile; the painter sorts faces, so they must stay small


@dataclass(frozen=True)
class Mesh:
    """``quads``: (n, 4, 3) corners; ``normals``: (n, 4, 3) outward; ``uv``: (n, 4, 2) surface coordinates."""

    quads: Floats
    normals: Floats
    uv: Floats

    def __len__(self) -> int:
        return len(self.quads)


def patch(points: ArrayLike, normals: ArrayLike, uv: ArrayLike) -> Mesh:
    """A grid of (a, b, 3) points with normals and (a, b, 2) surface coordinates → (a-1)(b-1) faces, all outward."""

    def corners(grid: ArrayLike) -> Floats:
        g = np.asarray(grid, np.float32)
        quads = np.stack([g[:-1, :-1], g[1:, :-1], g[1:, 1:], g[:-1, 1:]], axis=2)
        return quads.reshape(-1, 4, g.shape[-1])

    q, n, t = corners(points), corners(normals), corners(uv)
    facing = np.einsum("fi,fi->f", np.cross(q[:, 2] - q[:, 0], q[:, 3] - q[:, 1]), n.sum(axis=1))
    flip = facing < 0
    for array in (q, n, t):
        array[flip] = array[flip][:, ::-1]
    return Mesh(q, n, t)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all faces, in order."""
    return Mesh(*(np.concatenate([getattr(m, field) for m in meshes]) for field in ("quads", "normals", "uv")))


def moved(mesh: Mesh, by: Sequence[float]) -> Mesh:
    """The mesh shifted by (x, y, z)."""
    return Mesh(mesh.quads + np.asarray(by, np.float32), mesh.normals, mesh.uv)


def turned(mesh: Mesh, axis: Sequence[float], spin: float = 0.0) -> Mesh:
    """The mesh spun about z by ``spin`` radians, then rotated so that z points along ``axis``."""
    z = np.asarray(axis, np.float64)
    z = z / np.linalg.norm(z)
    up = np.array([0.0, 1.0, 0.0]) if abs(z[1]) < 0.9 else np.array([0.0, 0.0, -1.0])
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    c, s = np.cos(spin), np.sin(spin)
    rotation = (frame @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])).T.astype(np.float32)
    return Mesh(mesh.quads @ rotation, mesh.normals @ rotation, mesh.uv)


def revolve(
    profile: Sequence[tuple[float, float]], segments: int = 36, *, smooth: bool = False, step: float = STEP
) -> Mesh:
    """A profile of (z, radius) pairs turned about z; ``smooth`` rounds the edges between its pieces."""
    p = np.asarray(profile, np.float64)
    slopes = np.diff(p, axis=0)
    outward = np.stack([-slopes[:, 1], slopes[:, 0]], axis=1)  # (z, r) parts of the normal of each piece
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    if smooth:
        at_ends = np.concatenate([outward[:1], outward[:-1] + outward[1:], outward[-1:]])
        starts, ends = at_ends[:-1], at_ends[1:]
    else:
        starts = ends = outward
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    cos, sin = np.cos(angle), np.sin(angle)
    parts = []
    along = 0.0
    for i, slope in enumerate(slopes):
        length = float(np.hypot(*slope))
        if length < 1e-9:
            continue
        w = np.linspace(0, 1, max(1, int(np.ceil(length / step))) + 1)[:, None]
        zr = p[i] + w * slope
        normal = starts[i] * (1 - w) + ends[i] * w
        points = np.stack([zr[:, 1:] * cos, zr[:, 1:] * sin, np.repeat(zr[:, :1], len(angle), axis=1)], axis=-1)
        normals = np.stack(
            [normal[:, 1:] * cos, normal[:, 1:] * sin, np.repeat(normal[:, :1], len(angle), axis=1)], axis=-1
        )
        radius = max(p[i, 1], p[i + 1, 1])
        uv = np.stack(np.broadcast_arrays(angle[None, :] * radius, along + w * length), axis=-1)
        parts.append(patch(points, normals, uv))
        along += length
    return joined(parts)


def cylinder(radius: float, z0: float, z1: float, chamfer: float = 0.0, segments: int = 32) -> Mesh:
    """A closed cylinder about z, its edges cut by ``chamfer``."""
    c = chamfer
    return revolve([(z0, 0), (z0, radius - c), (z0 + c, radius), (z1 - c, radius), (z1, radius - c), (z1, 0)], segments)


def pipe(radius: float, z0: float, z1: float, segments: int = 32) -> Mesh:
    """An open tube about z, long enough to leave the frame."""
    return revolve([(z0, radius), (z1, radius)], segments, step=0.6)


def ball(radius: float, segments: int = 28, z_scale: float = 1.0) -> Mesh:
    """A sphere, or an ellipsoid stretched along z."""
    angle = np.linspace(0, np.pi, segments // 2)
    return revolve(
        [(-float(np.cos(a)) * radius * z_scale, float(np.sin(a)) * radius) for a in angle], segments, smooth=True
    )


def torus(radius: float, thickness: float, segments: int = 48, around: int = 12) -> Mesh:
    """A ring about z; ``thickness`` is the radius of its wire."""
    angle = np.linspace(0, 2 * np.pi, around + 1)
    profile = [(thickness * float(np.sin(a)), radius - thickness * float(np.cos(a))) for a in angle]
    a, b = np.meshgrid(np.linspace(0, 2 * np.pi, segments + 1), angle, indexing="ij")
    normals = np.stack([-np.cos(b) * np.cos(a), -np.cos(b) * np.sin(a), np.sin(b)], axis=-1)
    r = np.array([q[1] for q in profile])[None, :]
    z = np.broadcast_to(np.array([q[0] for q in profile])[None, :], a.shape)
    points = np.stack([r * np.cos(a), r * np.sin(a), z], axis=-1)
    return patch(points, normals, np.stack([a * radius, b * thickness], axis=-1))


def extrude(outline: ArrayLike, z0: float, z1: float, chamfer: float = 0.0) -> Mesh:
    """A star-shaped outline (n, 2), counter-clockwise about the origin, raised from z0 to z1, the front edge cut."""
    shape = np.asarray(outline, np.float64)
    loop = np.concatenate([shape, shape[:1]])
    edges = np.diff(loop, axis=0)
    sideways = np.stack([edges[:, 1], -edges[:, 0], np.zeros(len(edges))], axis=1)
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-9)
    inner = loop * (1 - chamfer / np.maximum(np.abs(shape).max(), 1e-9))
    parts = []
    run = 0.0
    for i in range(len(edges)):
        length = float(np.linalg.norm(edges[i]))
        if length < 1e-9:
            continue
        across = np.linspace(0, 1, max(1, int(np.ceil(length / STEP))) + 1)[:, None]
        line = loop[i] + across * edges[i]
        line_in = inner[i] + across * (inner[i + 1] - inner[i])
        levels = np.linspace(z0, z1 - chamfer, max(1, int(np.ceil((z1 - z0) / STEP))) + 1)
        points = np.stack([np.column_stack([line, np.full(len(line), z)]) for z in levels])
        normals = np.broadcast_to(sideways[i], points.shape)
        uv = np.stack(np.broadcast_arrays(run + across[:, 0] * length, levels[:, None]), axis=-1)
        parts.append(patch(points, normals, uv))
        if chamfer:
            points = np.stack(
                [
                    np.column_stack([line, np.full(len(line), z1 - chamfer)]),
                    np.column_stack([line_in, np.full(len(line), z1)]),
                ]
            )
            normals = np.broadcast_to(sideways[i] + (0, 0, 1), points.shape)
            parts.append(patch(points, normals / np.sqrt(2), points[..., :2]))
        rings = np.linspace(0, 1, max(1, int(np.ceil(np.abs(shape).max() / STEP))) + 1)[:, None, None]
        for z, normal, rim in ((z1, 1.0, line_in), (z0, -1.0, line)):
            flat = rings * rim[None]
            points = np.concatenate([flat, np.full((*flat.shape[:2], 1), z)], axis=2)
            parts.append(patch(points, np.broadcast_to((0, 0, normal), points.shape), flat))
        run += length
    return joined(parts)


def box(width: float, height: float, depth: float, chamfer: float = 0.0) -> Mesh:
    """A box centred on the origin in x and y, from z = 0 to ``depth``."""
    return extrude(rounded(width, height, 0.0), 0.0, depth, chamfer)


def rounded(width: float, height: float, radius: float, steps: int = 4) -> Floats:
    """The outline of a rectangle with rounded corners, counter-clockwise: (n, 2)."""
    w, h = width / 2, height / 2
    if radius <= 0:
        return np.array([[w, -h], [w, h], [-w, h], [-w, -h]], np.float32)
    turns = np.linspace(0, np.pi / 2, steps + 1)
    corners = [
        np.column_stack([cx + radius * np.cos(turns + start), cy + radius * np.sin(turns + start)])
        for cx, cy, start in (
            (w - radius, h - radius, 0),
            (radius - w, h - radius, np.pi / 2),
            (radius - w, radius - h, np.pi),
            (w - radius, radius - h, 1.5 * np.pi),
        )
    ]
    return np.concatenate(corners).astype(np.float32)


def polygon(sides: int, radius: float) -> Floats:
    """A regular outline, counter-clockwise: (sides, 2)."""
    angle = np.arange(sides) * 2 * np.pi / sides
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32) * radius


def gear(teeth: int, inner: float, outer: float, share: float = 0.45) -> Floats:
    """A toothed outline, counter-clockwise: (4 · teeth, 2); ``share`` of each pitch is tooth."""
    pitch = 2 * np.pi / teeth
    angle = np.concatenate([i * pitch + pitch * np.array([0, 0.02, share, share + 0.02]) for i in range(teeth)])
    radius = np.tile([inner, outer, outer, inner], teeth)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]).astype(np.float32)


def panel(width: float, height: float, pieces: int = 6) -> Mesh:
    """A flat rectangle facing z, surface coordinates 0..1 from its top left, as a picture has them."""
    u, v = np.meshgrid(np.linspace(0, 1, pieces + 1), np.linspace(0, 1, pieces + 1))
    points = np.stack([(u - 0.5) * width, (0.5 - v) * height, np.zeros_like(u)], axis=-1)
    return patch(points, np.broadcast_to((0.0, 0.0, 1.0), points.shape), np.stack([u, v], axis=-1))


def disc(radius: float, segments: int = 40) -> Mesh:
    """A flat disc facing z, surface coordinates 0..1 over its bounding square, as a picture has them."""
    r, a = np.meshgrid(np.linspace(0, radius, 5), np.linspace(0, 2 * np.pi, segments + 1), indexing="ij")
    points = np.stack([r * np.cos(a), r * np.sin(a), np.zeros_like(r)], axis=-1)
    uv = np.stack([0.5 + points[..., 0] / (2 * radius), 0.5 - points[..., 1] / (2 * radius)], axis=-1)
    return patch(points, np.broadcast_to((0.0, 0.0, 1.0), points.shape), uv)


def sweep(path: ArrayLike, radius: float, around: int = 12) -> Mesh:
    """A round tube along a path of (n, 3) points."""
    p = np.asarray(path, np.float64)
    ahead = np.gradient(p, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    side = np.cross(ahead, (0.0, 0.0, 1.0))
    weak = np.linalg.norm(side, axis=1) < 0.2
    side[weak] = np.cross(ahead[weak], (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    over = np.cross(side, ahead)
    a = np.linspace(0, 2 * np.pi, around + 1)[None, :, None]
    normals = side[:, None] * np.cos(a) + over[:, None] * np.sin(a)
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(run[:, None], a[..., 0] * radius), axis=-1)
    return patch(p[:, None] + radius * normals, normals, uv)


def curve(controls: ArrayLike, points: int = 14) -> Floats:
    """A Bézier curve through the first and last of its control points (m, 3): (points, 3)."""
    c = np.asarray(controls, np.float64)
    t = np.linspace(0, 1, points)[:, None]
    degree = len(c) - 1
    binomial = np.cumprod(np.concatenate([[1.0], (degree - np.arange(degree)) / (np.arange(degree) + 1)]))
    return sum(b * t**i * (1 - t) ** (degree - i) * c[i] for i, b in enumerate(binomial)).astype(np.float32)
