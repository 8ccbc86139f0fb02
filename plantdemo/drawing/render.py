"""Faces to pixels: painter's algorithm into a buffer of face numbers, then every pixel is shaded at once.

Deferred shading: normals, surface coordinates and depth are affine over each face on the screen, so the values of a
pixel are three coefficients of its face. Light: half-Lambert and hemisphere ambient, Blinn-Phong highlights, a banded
surrounding for metal, and darkening where the depth lies behind its neighbourhood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from plantdemo.drawing.model import Model
from plantdemo.drawing.textures import grain
from plantdemo.drawing.view import View

Floats = NDArray[np.float32]

BLOCK = 16384  # pixels shaded at once, so that intermediate arrays stay in the cache
COARSE = 4  # every so many pixels the depth is looked at for occlusion
BUFFER = 640  # longest side of the buffer an item is drawn into, in pixels
SHADOW_SCALE = 3
RUST = np.array([[0.36, 0.17, 0.07], [0.55, 0.28, 0.11]], np.float32)


@dataclass(frozen=True)
class Light:
    """``towards``: (3,) unit vector to the lamp; ``colour``, ``ambient``: (3,) RGB factors; ``hardness`` 0..1."""

    towards: NDArray[np.float64]
    colour: Floats
    ambient: Floats
    hardness: float


@dataclass(frozen=True)
class Shape:
    """A model's faces as arrays, ready to be seen from anywhere."""

    quads: Floats
    normals: Floats
    uv: Floats
    owner: NDArray[np.int32]
    lift: Floats
    wear: tuple[int, int]

    @classmethod
    def of(cls, model: Model, wear: tuple[int, int]) -> Shape:
        """All meshes of a model in one; ``wear`` shifts the texture of dirt and rust."""
        counts = [len(m) for m in model.meshes]
        return cls(
            np.concatenate([m.quads for m in model.meshes]),
            np.concatenate([m.normals for m in model.meshes]),
            np.concatenate([m.uv for m in model.meshes]),
            np.repeat(np.asarray(model.owners, np.int32), counts),
            np.repeat(np.asarray(model.lifts, np.float32), counts),
            wear,
        )


def draw_faces(size: tuple[int, int], polygons: Floats, numbers: NDArray[np.int64], mode: str = "I") -> Image.Image:
    """(n, 4, 2) pixel polygons filled in order with ``numbers`` on zeros."""
    image = Image.new(mode, size)
    fill = ImageDraw.Draw(image).draw.draw_polygon
    for corners, number in zip(polygons.reshape(-1, 8).tolist(), numbers.tolist(), strict=True):
        fill(corners, number, 1)
    return image


def shadow(
    shape: Shape, light: Light, view: View, axis: int, level: float, size: tuple[int, int], softness: float
) -> Image.Image:
    """The shadow on the plane where coordinate ``axis`` equals ``level``: an "L" mask, 255 in the
    dark, ``SHADOW_SCALE`` times smaller than ``size``."""
    steep = max(float(light.towards[axis]), 0.12)
    fall = (shape.quads[..., axis] - level)[..., None] * (light.towards / steep).astype(np.float32)
    ground, _ = view.project(shape.quads - fall)
    # an eighth of the faces more or less cannot be seen in a blurred shadow: only those that face the lamp are drawn
    lit = np.einsum("fi,i->f", shape.normals.sum(axis=1), light.towards.astype(np.float32)) > 0
    small = (size[0] // SHADOW_SCALE, size[1] // SHADOW_SCALE)
    mask = draw_faces(small, ground[lit] / SHADOW_SCALE, np.full(int(lit.sum()), 255), "L")
    return mask.filter(ImageFilter.BoxBlur(max(0.6, softness / SHADOW_SCALE)))


def render(
    model: Model, shape: Shape, view: View, light: Light, size: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int]] | None:
    """The item seen in a frame of ``size``: an RGBA picture and where its top left lies; None if out of the frame."""
    flat, _ = view.project(shape.quads)
    left, top = np.maximum(np.floor(flat.min(axis=(0, 1))) - 2, 0)
    right, bottom = np.minimum(np.ceil(flat.max(axis=(0, 1))) + 2, size)
    if right - left < 8 or bottom - top < 8:
        return None
    width, height = int(right - left), int(bottom - top)
    factor = float(np.clip(BUFFER / max(width, height), 1.0, 2.0))
    near = view.zoomed(factor, float(left), float(top))
    buffer_size = (max(1, round(width * factor)), max(1, round(height * factor)))
    rgba = shade(model, shape, near, light, buffer_size)
    return rgba.resize((width, height), Image.Resampling.BOX if factor > 1.5 else Image.Resampling.BILINEAR), (
        int(left),
        int(top),
    )


def shade(model: Model, shape: Shape, view: View, light: Light, size: tuple[int, int]) -> Image.Image:
    """Draw the visible faces and shade the pixels they cover: an RGBA picture of ``size``."""
    xy, depth = view.project(shape.quads)
    diagonal1, diagonal2 = xy[:, 2] - xy[:, 0], xy[:, 3] - xy[:, 1]
    area = diagonal1[:, 0] * diagonal2[:, 1] - diagonal1[:, 1] * diagonal2[:, 0]
    inside = (xy[..., 0].max(axis=1) >= 0) & (xy[..., 0].min(axis=1) < size[0])
    inside &= (xy[..., 1].max(axis=1) >= 0) & (xy[..., 1].min(axis=1) < size[1])
    front = np.flatnonzero((area < -0.05) & inside)
    front = front[np.argsort(-(depth[front].mean(axis=1) - shape.lift[front]), kind="stable")]
    numbers = np.asarray(draw_faces(size, xy[front], np.arange(1, len(front) + 1)))
    values = np.concatenate([shape.normals[front], shape.uv[front], depth[front][..., None]], axis=2)
    faces = _Faces.seen(xy[front], values)
    open_sky = _occlusion(numbers, faces)
    covered = np.flatnonzero(numbers)
    face = numbers.reshape(-1)[covered] - 1
    owner = shape.owner[front]
    out = np.zeros((size[0] * size[1], 4), np.uint8)
    for start in range(0, len(covered), BLOCK):
        here, on = covered[start : start + BLOCK], face[start : start + BLOCK]
        row = here // size[0]
        px, py = (here - row * size[0]).astype(np.float32) + 0.5, row.astype(np.float32) + 0.5
        normal, u, v = faces.at(on, px, py)
        colour, gloss, metal = _surface(model, shape.wear, owner[on], u, v)
        lit = _light(normal, colour, gloss, metal, _sight(view, px, py), light)
        lit *= open_sky[(py / COARSE).astype(np.int32), (px / COARSE).astype(np.int32)]
        texels = np.full((len(here), 4), 255, np.uint8)
        texels[:, :3] = (np.sqrt(np.clip(lit, 0, 1)) * 255).T
        out.view(np.uint32)[here] = texels.view(np.uint32)
    return Image.fromarray(out.reshape(size[1], size[0], 4))


@dataclass(frozen=True)
class _Faces:
    """Values over faces on the screen: least-squares affine functions through their corners."""

    base: Floats
    across: Floats
    down: Floats

    @classmethod
    def seen(cls, xy: Floats, values: Floats) -> _Faces:
        """``xy``: (n, 4, 2) pixels; ``values``: (n, 4, 6)."""
        middle = xy.mean(axis=1, keepdims=True)
        dx, dy = (xy - middle)[..., 0], (xy - middle)[..., 1]
        sxx, syy, sxy = (dx * dx).sum(1) + 0.05, (dy * dy).sum(1) + 0.05, (dx * dy).sum(1)
        det = np.maximum(sxx * syy - sxy * sxy, 1e-3)[:, None]
        gx, gy = np.einsum("fc,fcv->fv", dx, values), np.einsum("fc,fcv->fv", dy, values)
        ax = (gx * syy[:, None] - gy * sxy[:, None]) / det
        ay = (gy * sxx[:, None] - gx * sxy[:, None]) / det
        base = values.mean(axis=1) - ax * middle[:, 0, :1] - ay * middle[:, 0, 1:]
        return cls(*(np.ascontiguousarray(a.T, np.float32) for a in (base, ax, ay)))

    def at(self, face: NDArray[np.int64], px: Floats, py: Floats) -> tuple[Floats, Floats, Floats]:
        """Unit normals (3, p) and surface coordinates u and v at pixels of the given faces."""
        out = self.across[:5].take(face, axis=1)
        out *= px
        step = self.down[:5].take(face, axis=1)
        step *= py
        out += step
        out += self.base[:5].take(face, axis=1)
        return _unit(out[:3]), out[3], out[4]

    def depth(self, face: NDArray[np.integer], px: Floats, py: Floats) -> Floats:
        """Depth at pixels of the given faces, like ``at``."""
        return self.base[5][face] + self.across[5][face] * px + self.down[5][face] * py


def _unit(vectors: Floats) -> Floats:
    """(3, p) vectors scaled to length one."""
    return (vectors / np.sqrt(np.maximum(_dot(vectors, vectors), 1e-9))).astype(np.float32, copy=False)


def _dot(a: Floats, b: Floats) -> Floats:
    """Inner products of (3, p) vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _surface(
    model: Model, wear: tuple[int, int], owner: NDArray[np.int32], u: Floats, v: Floats
) -> tuple[Floats, Floats, Floats]:
    """Linear colour (3, p), gloss and metal of pixels: paint with dirt and rust, or a picture."""
    looks = np.array([(*m.colour, m.gloss, m.metal, m.rust) for m in model.materials], np.float32).T
    looks[:3] **= 2
    pixel_looks = looks.take(owner, axis=1)
    colour, gloss, metal, rust = pixel_looks[:3], pixel_looks[3], pixel_looks[4], pixel_looks[5]
    dirt, spots = grain()
    side = dirt.shape[0]
    texel = ((v * 230 + wear[0]).astype(np.int32) & (side - 1)) * side + (
        (u * 230 + wear[1]).astype(np.int32) & (side - 1)
    )
    fine = dirt.reshape(-1).take(texel) * np.float32(1 / 255)
    colour *= 0.80 + 0.30 * fine
    amount = np.zeros_like(fine)
    if rust.any():
        coarse = spots.reshape(-1).take(texel) * np.float32(0.8 / 255)
        amount = np.clip((coarse + fine * 0.3 - 1.02 + rust) * 7, 0, 1) * (rust > 0)
        for channel in range(3):
            dark, bright = RUST[:, channel] ** 2
            colour[channel] += amount * (dark + (bright - dark) * fine - colour[channel])
        gloss = gloss * (1 - 0.9 * amount)
        metal = metal * (1 - amount)
    for index, material in enumerate(model.materials):
        if material.picture is not None:
            here = np.flatnonzero(owner == index)
            h, w = material.picture.shape[:2]
            rows, columns = (
                (np.clip(v[here], 0, 0.9999) * h).astype(np.int32),
                (np.clip(u[here], 0, 0.9999) * w).astype(np.int32),
            )
            texels = material.picture[rows, columns].T.astype(np.float32) / 255
            colour[:, here] = texels**2 * (1 - 0.55 * amount[here])
    return colour, gloss, metal


def _sight(view: View, px: Floats, py: Floats) -> Floats:
    """Unit vectors (3, p) from pixels towards the eye."""
    x, y = (px - view.centre[0]) / view.focal, (py - view.centre[1]) / view.focal
    r = view.rotation.astype(np.float32)
    scale = -1 / np.sqrt(1 + x * x + y * y)
    return np.stack([(x * r[0, i] + y * r[1, i] + r[2, i]) * scale for i in range(3)])


def _light(normal: Floats, colour: Floats, gloss: Floats, metal: Floats, sight: Floats, light: Light) -> Floats:
    """Linear light (3, p) that pixels send to the eye."""
    towards = light.towards.astype(np.float32)[:, None]
    cosine = _dot(normal, towards)
    wrapped = np.clip((cosine + 0.35) / 1.35, 0, 1)
    diffuse = wrapped * wrapped * (1 - light.hardness) + np.maximum(cosine, 0) * light.hardness
    sky = 0.62 + 0.38 * normal[1]
    broad = np.maximum(_dot(normal, _unit(sight + towards)), 0)
    for _ in range(4):
        broad *= broad
    tight = broad * broad
    tight *= tight
    seen = _dot(normal, sight)
    mirror = 2 * seen * normal[1] - sight[1]
    bands = np.maximum(0.55 + 0.42 * np.sin(mirror * 5.0 + 0.6) + 0.25 * np.clip(mirror * 3, -1, 1), 0.08) * 0.9
    sheen = gloss * (0.16 * broad + (0.15 + 0.75 * gloss) * tight)
    edge = 1 - np.clip(seen, 0, 1)
    edge *= edge
    rim = edge * edge * gloss * 0.18
    matt, polished = 1 - 0.72 * metal, metal * bands
    out = np.empty_like(colour)
    for i in range(3):
        lamp, fill = float(light.colour[i]), float(light.ambient[i])
        out[i] = (
            colour[i] * ((diffuse * lamp + sky * fill) * matt + polished * (fill + 0.45 * lamp))
            + sheen * lamp
            + rim * fill
        )
    return out


def _occlusion(numbers: NDArray[np.int32], faces: _Faces) -> Floats:
    """Factor 0.42..1 for every ``COARSE``-th pixel: darker where it lies behind what is around it."""
    coarse = numbers[::COARSE, ::COARSE]
    rows, columns = np.nonzero(coarse)
    covered, filled = np.zeros(coarse.shape, np.float32), np.zeros(coarse.shape, np.float32)
    covered[rows, columns] = 1
    at = coarse[rows, columns] - 1
    px, py = (columns * COARSE + 0.5).astype(np.float32), (rows * COARSE + 0.5).astype(np.float32)
    filled[rows, columns] = faces.depth(at, px, py)
    behind = np.zeros_like(filled)
    for sigma, weight in ((2.0, 1.6), (7.0, 1.1)):
        around = ndimage.gaussian_filter(filled, sigma, truncate=2.5)
        around /= np.maximum(ndimage.gaussian_filter(covered, sigma, truncate=2.5), 1e-3)
        behind += weight * np.clip(filled - around, 0, 0.35)
    return ndimage.gaussian_filter(np.clip(1 - 2.0 * behind, 0.42, 1), 0.7)
