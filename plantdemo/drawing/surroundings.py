"""The wall behind an item and the floor it stands on, in the visit's light, with the item's shadow on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from plantdemo.drawing.model import Model
from plantdemo.drawing.render import SHADOW_SCALE, Light, Shape, shadow
from plantdemo.drawing.textures import FLOORS, TILE, WALLS, spread
from plantdemo.drawing.view import View

PER_UNIT = 185.0  # texture pixels for one unit of length; an item is about two units across
SOFT = 1.5  # how much coarser the surroundings are drawn than the item: they are a little out of focus
SITES = ("A", "B", "C", "D")
# what a visit's walls and floors look like at each site, most frequent first
SITE_WALLS = {
    "A": ("concrete", "pipes"),
    "B": ("cladding", "corrosion"),
    "C": ("brick", "tiles"),
    "D": ("corrosion", "concrete"),
}
SITE_FLOORS = {
    "A": ("concrete", "grating"),
    "B": ("grating", "checker_plate"),
    "C": ("concrete", "gravel"),
    "D": ("checker_plate", "gravel"),
}
RIGHT, DOWN, NEAR = np.eye(3) * (1, -1, 1)


def surroundings(
    shape: Shape, model: Model, site: str, view: View, light: Light, size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """What is seen behind and below the item: RGB of ``size`` (width, height), the item's shadow in it."""
    home = rng.random()
    wall, floor = (
        str(usual[0] if home < 0.4 else usual[1] if home < 0.6 else rng.choice(every))
        for usual, every in ((SITE_WALLS[site], WALLS), (SITE_FLOORS[site], FLOORS))
    )
    small = (round(size[0] / SOFT), round(size[1] / SOFT))
    view = view.zoomed(1 / SOFT, 0, 0)
    middle = 1.5 * TILE
    start = (middle + rng.uniform(-0.4, 0.4) * TILE, middle + rng.uniform(-0.4, 0.4) * TILE)
    ground = _plane(wall, view, np.array([0.0, 0.0, model.wall]), DOWN, small, start)
    dark = shadow(shape, light, view, 2, model.wall, small, 7.0)
    if model.floor is not None:
        corner = np.array([0.0, model.floor, model.wall])
        below = _plane(floor, view, corner, NEAR, small, (start[0], middle - 1.2 * TILE))
        seam, _ = view.project(corner + np.array([[-9.0, 0, 0], [9.0, 0, 0]]))
        ground.paste(below, (0, 0), _under(seam, small))
        low = dark.size
        dark = Image.composite(
            shadow(shape, light, view, 1, model.floor, small, 7.0), dark, _under(seam / SHADOW_SCALE, low)
        )
        corner_dark = Image.new("L", low)
        ImageDraw.Draw(corner_dark).line(
            (seam / SHADOW_SCALE).reshape(-1).tolist(), fill=150, width=max(2, low[0] // 60)
        )
        dark = ImageChops.lighter(dark, corner_dark.filter(ImageFilter.BoxBlur(4)))
    lit = ImageChops.multiply(ground, _lit(dark, light, rng).resize(small, Image.Resampling.BILINEAR))
    return lit.resize(size, Image.Resampling.BILINEAR)


def _plane(
    name: str,
    view: View,
    origin: NDArray[np.float64],
    along: NDArray[np.float64],
    size: tuple[int, int],
    start: tuple[float, float],
) -> Image.Image:
    """A plane spanned by ``RIGHT`` and ``along``, covered with a surface from its texel ``start``."""
    texture, mean = spread(name)
    place = np.array([[PER_UNIT, 0, start[0]], [0, PER_UNIT, start[1]], [0, 0, 1]])
    back = place @ np.linalg.inv(view.plane(origin, RIGHT, along))
    coefficients = (back / back[2, 2]).reshape(-1)[:8].tolist()
    return texture.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR, fillcolor=mean)


def _under(seam: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """An "L" mask of what lies below the line where wall and floor meet, given by two (x, y) points."""
    mask = Image.new("L", size)
    w, h = size
    ImageDraw.Draw(mask).polygon([*seam.reshape(-1).tolist(), w * 9, h * 9, -w * 8, h * 9], fill=255)
    return mask


def _lit(dark: Image.Image, light: Light, rng: np.random.Generator) -> Image.Image:
    """Factors (255 is one) by which lamp, ambient light and the shadow ``dark`` multiply what is seen: RGB."""
    facing = max(float(light.towards[2]), 0.25)
    tint = rng.normal(1.0, 0.022, 3) * rng.uniform(0.85, 1.05)
    level = tint * np.sqrt(np.clip(light.colour * (0.35 + 0.65 * facing) + 0.8 * light.ambient, 0.05, 1.3))
    ramp = 1 - (0.35 + 0.35 * light.hardness) * np.arange(256) / 255
    tables = [(255 * min(1.0, float(factor)) * ramp).astype(int).tolist() for factor in level]
    return Image.merge("RGB", [dark] * 3).point(tables[0] + tables[1] + tables[2])
