"""Faces to pixels: painter's algorithm into a buffer of face numbers, then every pixel is shaded at once.

Deferred shading: normals, surface coordinates and depth are affine over each face on the screen, so a pixel's values are
three coefficients of its face. Light: half-Lambert and hemisphere ambient, Blinn-Phong highlights, a banded surrounding
for metal, and darkening where the depth lies behind its neighbourhood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from imgsearch.drawing.model import Model
from imgsearch.drawing.textures import grain
from imgsearch.drawing.view import View

Floats = NDArray[np.float32]

BUFFER = 880  # longest side of the buffer an item is drawn into, in pixels
RUST = np.array([[0.36, 0.17, 0.07], [0.55, 0.28, 0.11]], np.float32)


@dataclass(frozen=True)
class Light:
    """``towards``: (3,) unit vector to the lamp or sun; ``colour``, ``ambient``: (3,) RGB factors; ``hardness`` 0..1."""

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


def shadow(shape: Shape, light: Light, view: View, axis: int, level: float, size: tuple[int, int], softness: float) -> Image.Image:
    """The shadow on the plane where coordinate ``axis`` equals ``level``: an "L" mask, 255 in the dark."""
    steep = max(float(light.towards[axis]), 0.12)
    fall = (shape.quads[..., axis] - level)[..., None] * (light.towards / steep).astype(np.float32)
    ground, _ = view.project(shape.quads - fall)
    # an eighth of the faces more or less cannot be seen in a blurred shadow: only those that face the lamp are drawn
    lit = np.einsum("fi,i->f", shape.normals.sum(axis=1), light.towards.astype(np.float32)) > 0
    scale = 4
    small = (max(1, size[0] // scale), max(1, size[1] // scale))
    mask = draw_faces(small, ground[lit] / scale, np.full(int(lit.sum()), 255), "L")
    return mask.filter(ImageFilter.GaussianBlur(max(0.6, softness / scale))).resize(size, Image.Resampling.BILINEAR)


def render(model: Model, shape: Shape, view: View, light: Light, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]] | None:
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
    return rgba.resize((width, height), Image.Resampling.BOX if factor > 1.5 else Image.Resampling.BILINEAR), (int(left), int(top))


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
    covered = np.flatnonzero(numbers)
    if not len(covered):
        return Image.new("RGBA", size)
    face = numbers.reshape(-1)[covered] - 1
    values = np.concatenate([shape.normals[front], shape.uv[front], depth[front][..., None]], axis=2)
    px = (covered % size[0]).astype(np.float32) + 0.5
    py = (covered // size[0]).astype(np.float32) + 0.5
    normal, u, v, far = _interpolate(values, xy[front], face, px, py)

    owner = shape.owner[front][face]
    colour, gloss, metal = _surface(model, shape, owner, u, v)
    lit = _light(normal, colour, gloss, metal, _sight(view, px, py), light)
    lit *= _occlusion(covered, far, size)[:, None]

    pixels = np.zeros((size[1] * size[0], 4), np.uint8)
    pixels[covered, :3] = np.clip(np.sqrt(np.maximum(lit, 0)) * 255, 0, 255)
    pixels[covered, 3] = 255

    image = pixels.reshape(size[1], size[0], 4)
    return Image.fromarray(image)


def _interpolate(values: Floats, xy: Floats, face: NDArray[np.int64], px: Floats, py: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Values at pixels: the least-squares affine function through the corners of each pixel's face."""
    middle = xy.mean(axis=1, keepdims=True)
    dx, dy = (xy - middle)[..., 0], (xy - middle)[..., 1]
    sxx, syy, sxy = (dx * dx).sum(1) + 0.05, (dy * dy).sum(1) + 0.05, (dx * dy).sum(1)
    det = np.maximum(sxx * syy - sxy * sxy, 1e-3)
    gx = np.einsum("fc,fcv->fv", dx, values)
    gy = np.einsum("fc,fcv->fv", dy, values)
    ax = (gx * syy[:, None] - gy * sxy[:, None]) / det[:, None]
    ay = (gy * sxx[:, None] - gx * sxy[:, None]) / det[:, None]
    base = values.mean(axis=1)
    x, y = px - middle[face, 0, 0], py - middle[face, 0, 1]
    out = base.T[:, face] + ax.T[:, face] * x + ay.T[:, face] * y
    normal = out[:3].T
    normal = normal / np.maximum(np.sqrt(np.einsum("pi,pi->p", normal, normal)), 1e-6)[:, None]
    return normal, out[3], out[4], out[5]


def _surface(model: Model, shape: Shape, owner: NDArray[np.int32], u: Floats, v: Floats) -> tuple[Floats, Floats, Floats]:
    """Colour (linear), gloss and metal of each pixel: paint with dirt and rust, or a picture."""
    linear = np.array([m.colour for m in model.materials], np.float32) ** 2
    colour = linear[owner]
    gloss = np.array([m.gloss for m in model.materials], np.float32)[owner]
    metal = np.array([m.metal for m in model.materials], np.float32)[owner]
    rust = np.array([m.rust for m in model.materials], np.float32)[owner]
    dirt, spots = grain()
    rows = (v * 230 + shape.wear[0]).astype(np.int32) % dirt.shape[0]
    columns = (u * 230 + shape.wear[1]).astype(np.int32) % dirt.shape[1]
    fine, coarse = dirt[rows, columns], spots[rows, columns]
    colour *= (0.80 + 0.30 * fine)[:, None]
    amount = np.clip((coarse * 0.8 + fine * 0.3 - 1.02 + rust) * 7, 0, 1) * (rust > 0)
    colour += amount[:, None] * (RUST[0] ** 2 + (RUST[1] ** 2 - RUST[0] ** 2) * fine[:, None] - colour)
    gloss, metal = gloss * (1 - 0.9 * amount), metal * (1 - amount)
    for index, material in enumerate(model.materials):
        if material.picture is not None:
            here = np.flatnonzero(owner == index)
            h, w = material.picture.shape[:2]
            at = (np.clip(v[here], 0, 0.9999) * h).astype(np.int32), (np.clip(u[here], 0, 0.9999) * w).astype(np.int32)
            texels = material.picture[at].astype(np.float32) / 255
            colour[here] = texels**2 * (1 - 0.55 * amount[here])[:, None]
    return colour, gloss, metal


def _sight(view: View, px: Floats, py: Floats) -> Floats:
    """Unit vectors from the pixels towards the eye."""
    x, y = (px - view.centre[0]) / view.focal, (py - view.centre[1]) / view.focal
    r = view.rotation.astype(np.float32)
    ray = np.stack([x, y, np.ones_like(x)], axis=1) @ r
    return -ray / np.sqrt(1 + x * x + y * y)[:, None]


def _light(normal: Floats, colour: Floats, gloss: Floats, metal: Floats, sight: Floats, light: Light) -> Floats:
    towards = light.towards.astype(np.float32)
    cosine = normal @ towards
    wrapped = np.clip((cosine + 0.35) / 1.35, 0, 1)
    diffuse = wrapped * wrapped * (1 - light.hardness) + np.maximum(cosine, 0) * light.hardness
    sky = 0.62 + 0.38 * normal[:, 1]
    half = sight + towards
    half /= np.maximum(np.sqrt(np.einsum("pi,pi->p", half, half)), 1e-6)[:, None]
    shine = np.maximum(np.einsum("pi,pi->p", normal, half), 0)
    shine *= shine
    shine *= shine
    shine *= shine
    broad = shine * shine
    tight = broad * broad
    tight = tight * tight
    mirror = 2 * np.einsum("pi,pi->p", normal, sight) * normal[:, 1] - sight[:, 1]
    bands = 0.55 + 0.42 * np.sin(mirror * 5.0 + 0.6) + 0.25 * np.clip(mirror * 3, -1, 1)
    body = colour * (diffuse[:, None] * light.colour + sky[:, None] * light.ambient)
    reflected = colour * (np.maximum(bands, 0.08) * 0.9)[:, None] * (light.ambient + 0.45 * light.colour)
    body += metal[:, None] * (reflected - 0.72 * body)
    sheen = gloss * (0.16 * broad + (0.15 + 0.75 * gloss) * tight)
    rim = (1 - np.clip(np.einsum("pi,pi->p", normal, sight), 0, 1)) ** 4 * gloss * 0.18
    return body + (sheen[:, None] * light.colour) + rim[:, None] * light.ambient


def _occlusion(covered: NDArray[np.int64], far: Floats, size: tuple[int, int]) -> Floats:
    """Factor 0.45..1 for each covered pixel: darker where it lies behind what is around it."""
    step = 4
    depth = np.full(size[0] * size[1], np.nan, np.float32)
    depth[covered] = far
    coarse = depth.reshape(size[1], size[0])[::step, ::step]
    known = np.isfinite(coarse).astype(np.float32)
    filled = np.where(known > 0, coarse, 0).astype(np.float32)
    total = np.zeros_like(filled)
    for sigma, weight in ((2.0, 1.6), (7.0, 1.1)):
        mean = ndimage.gaussian_filter(filled, sigma) / np.maximum(ndimage.gaussian_filter(known, sigma), 1e-3)
        total += weight * np.clip(filled - mean, 0, 0.35)
    factor = np.clip(1 - 2.0 * total, 0.42, 1)
    rows, columns = covered // size[0] // step, covered % size[0] // step
    return ndimage.gaussian_filter(factor, 0.7)[rows, columns]
