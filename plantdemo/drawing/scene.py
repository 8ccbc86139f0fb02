"""One visit to an item: where the phone was held, the light, what stood around and in between → a clean picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from plantdemo.drawing.kinds import KINDS
from plantdemo.drawing.model import Model
from plantdemo.drawing.render import Light, Shape, render
from plantdemo.drawing.surroundings import SITES, surroundings
from plantdemo.drawing.view import View, look


@dataclass(frozen=True)
class Item:
    """One individual of a kind, where it stands, and its faces."""

    name: str
    kind: str
    site: str
    model: Model
    shape: Shape

    @classmethod
    def make(cls, kind: str, number: int, seed: int) -> Item:
        """The ``number``-th individual of a kind under a seed: always the same one."""
        index = list(KINDS).index(kind)
        rng = np.random.default_rng([seed, 1, index, number])
        model = KINDS[kind](rng)
        wear = (int(rng.integers(512)), int(rng.integers(512)))
        return cls(cls.name_of(kind, number), kind, cls.site_of(kind, number), model, Shape.of(model, wear))

    @staticmethod
    def name_of(kind: str, number: int) -> str:
        """``gate_valve-01`` for number 0."""
        return f"{kind}-{number + 1:02d}"

    @staticmethod
    def site_of(kind: str, number: int) -> str:
        """The site at which an individual stands: individuals of each kind are spread over all sites."""
        return SITES[(number + list(KINDS).index(kind)) % len(SITES)]


def picture(item: Item, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """The item as seen on one visit: RGB of ``size`` (width, height), before lens and sensor."""
    view = _stand(item, size, rng)
    light = _light(view, rng)
    ground = surroundings(item.shape, item.model, item.site, view, light, size, rng)
    drawn = render(item.model, item.shape, view, light, size)
    if drawn is not None:
        ground.paste(drawn[0], drawn[1], drawn[0])
    if rng.random() < 0.28:
        ground = _obstruct(ground, rng)
    return _illuminate(ground, rng)


def _stand(item: Item, size: tuple[int, int], rng: np.random.Generator) -> View:
    """Hold the phone somewhere in front of the item."""
    focal = float(rng.uniform(0.85, 1.35)) * max(size)
    share = float(np.clip(rng.normal(0.80, 0.15), 0.5, 1.2))
    distance = max(2.05 * focal / (share * min(size)), 2.3)
    azimuth = float(np.clip(rng.normal(0, 0.38), -0.75, 0.75))
    standing = item.model.floor is not None
    elevation = float(rng.uniform(0.12, 0.55) if standing else np.clip(rng.normal(0.05, 0.2), -0.4, 0.5))
    roll = float(np.clip(rng.normal(0, 0.06), -0.2, 0.2))
    centre = (size[0] * float(rng.normal(0.5, 0.05)), size[1] * float(rng.normal(0.5, 0.05)))
    return look(np.array([0.0, -0.05, 0.0]), distance, azimuth, elevation, roll, focal, centre)


def _light(view: View, rng: np.random.Generator) -> Light:
    """Daylight, a warm lamp, or the phone's own flash."""
    around, high = rng.uniform(-1.0, 1.0), rng.uniform(0.35, 1.1)
    towards = np.array([np.sin(around) * np.cos(high), np.sin(high), np.cos(around) * np.cos(high)])
    mood = rng.random()
    strength, fill = rng.uniform(0.65, 1.1), rng.uniform(0.22, 0.42)
    colour, ambient = np.array([1.0, 0.98, 0.94]), np.array([0.95, 1.0, 1.06])
    if mood < 0.2:
        colour, ambient = np.array([1.08, 0.95, 0.75]), np.array([1.0, 0.95, 0.85])
    elif mood < 0.35:
        towards = view.eye + np.array([0.1, 0.5, 0.0])
        towards = towards / np.linalg.norm(towards)
        strength, fill = rng.uniform(0.8, 1.0), rng.uniform(0.1, 0.2)
    elif mood < 0.5:
        colour, strength, fill = np.array([0.92, 1.0, 1.0]), rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.55)
    return Light(
        towards,
        (colour * strength).astype(np.float32),
        (ambient * fill).astype(np.float32),
        float(rng.uniform(0.25, 0.9)),
    )


def _obstruct(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Something near the lens and out of focus: a rail, a cable, barrier tape, a thumb."""
    w, h = image.size
    small = (w // 4, h // 4)
    layer, mask = Image.new("RGB", small), Image.new("L", small)
    choice = int(rng.integers(4))
    on_layer, on_mask = ImageDraw.Draw(layer), ImageDraw.Draw(mask)
    sw, sh = small
    if choice == 3:
        x, y, r = rng.choice([0, sw]), rng.choice([0, sh]), rng.uniform(0.12, 0.25) * sw
        on_layer.rectangle([0, 0, sw, sh], fill=(int(rng.integers(120, 190)), int(rng.integers(80, 120)), 80))
        on_mask.ellipse([x - r, y - r * 0.8, x + r, y + r * 0.8], fill=255)
    else:
        at, slope = rng.choice([rng.uniform(0.02, 0.3), rng.uniform(0.7, 0.98)]), rng.normal(0, 0.15)
        wide = (0.06, 0.025, 0.10)[choice] * min(small) * rng.uniform(0.8, 1.6)
        upright = rng.random() < 0.5
        a, b = ((at * sw, 0), ((at + slope) * sw, sh)) if upright else ((0, at * sh), (sw, (at + slope) * sh))
        colours = [[(196, 160, 30), (120, 124, 126), (70, 74, 78)], [(24, 24, 26), (150, 70, 30)], [(210, 180, 20)]][
            choice
        ]
        colour = colours[int(rng.integers(len(colours)))]
        on_layer.line([*a, *b], fill=colour, width=int(wide * 1.6))
        on_layer.line([*a, *b], fill=tuple(min(255, int(c * 1.4) + 12) for c in colour), width=max(1, int(wide * 0.35)))
        if choice == 2:
            for t in np.arange(0, 1, 0.16):
                p = np.asarray(a) + (np.asarray(b) - a) * t
                q = np.asarray(a) + (np.asarray(b) - a) * (t + 0.08)
                on_layer.line([*p.tolist(), *q.tolist()], fill=(26, 26, 26), width=int(wide * 1.6))
        on_mask.line([*a, *b], fill=255, width=max(1, int(wide)))
    blur = ImageFilter.GaussianBlur(float(rng.uniform(0.8, 2.5)))
    image.paste(
        layer.filter(blur).resize(image.size, Image.Resampling.BILINEAR),
        (0, 0),
        mask.filter(blur).resize(image.size, Image.Resampling.BILINEAR),
    )
    return image


def _illuminate(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Uneven light over the frame: falling off to a side and to the corners, at times bars of sun or shade."""
    w, h = 64, 48
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    x, y = x / (w - 1) * 2 - 1, y / (h - 1) * 2 - 1
    turn = rng.uniform(0, 2 * np.pi)
    map_ = (
        1
        - rng.uniform(0, 0.22) * (0.5 + 0.5 * (x * np.cos(turn) + y * np.sin(turn)))
        - rng.uniform(0.04, 0.2) * (x * x + y * y) / 2
    )
    if rng.random() < 0.22:
        across = x * np.cos(turn + 0.7) + y * np.sin(turn + 0.7)
        bars = 1 / (1 + np.exp(-np.sin(across * rng.uniform(2, 6) + rng.uniform(0, 6)) * rng.uniform(3, 10)))
        map_ *= 1 - rng.uniform(0.2, 0.45) * bars
    grey = Image.fromarray(np.clip(map_ * 255, 0, 255).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(image, Image.merge("RGB", (grey, grey, grey)))
