"""Printed matter: dials, nameplates, tags and warning signs as (h, w, 3) uint8 pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plantdemo.drawing.paint import MAKERS

Picture = NDArray[np.uint8]
RGB = tuple[int, int, int]

# ground and ink
TAG_COLOURS: tuple[tuple[RGB, RGB], ...] = (
    ((244, 244, 238), (20, 20, 20)),
    ((240, 200, 40), (20, 20, 20)),
    ((30, 70, 140), (245, 245, 245)),
    ((30, 34, 36), (240, 240, 240)),
    ((186, 190, 192), (30, 32, 34)),
    ((176, 34, 30), (250, 250, 250)),
)
PLATE_COLOURS: tuple[tuple[RGB, RGB], ...] = (
    ((198, 201, 203), (24, 26, 30)),
    ((30, 32, 36), (212, 214, 216)),
    ((206, 182, 120), (40, 28, 14)),
    ((232, 234, 230), (24, 40, 90)),
    ((150, 28, 30), (238, 236, 232)),
    ((28, 62, 112), (232, 236, 240)),
    ((34, 92, 66), (236, 240, 234)),
)


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that no machine's fonts change the picture."""
    return ImageFont.load_default(max(6, size))


def centred(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float, fill: RGB) -> None:
    """Text with its middle at a point."""
    draw.text(at, text, font=font(size), fill=fill, anchor="mm")


def aged(rng: np.random.Generator, image: Image.Image, amount: float) -> Picture:
    """The picture with stains and scratches."""
    w, h = image.size
    draw = ImageDraw.Draw(image)
    for _ in range(int(amount * 24)):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.03, 0.25) * w
        tone = int(rng.integers(90, 200))
        draw.line([x, y, x + length * np.cos(angle), y + length * np.sin(angle)], fill=(tone, tone, tone - 12))
    low = rng.normal(0, 1, (6, 9)).astype(np.float32)
    stain = np.asarray(Image.fromarray(low).resize((w, h), Image.Resampling.BICUBIC))
    out = (
        np.asarray(image, np.float32)
        * (1 - np.clip(stain, 0, 1.5) * 0.22 * amount)[..., None]
        * np.array([1, 0.985, 0.95], np.float32)
    )
    return np.clip(out, 0, 255).astype(np.uint8)


DIAL_RANGES = (
    ("bar", 10), ("bar", 16), ("bar", 2.5), ("kPa", 600), ("psi", 100), ("MPa", 4), ("bar", 40), ("°C", 120),
)  # fmt: skip
DIAL_START, DIAL_SWEEP = 225.0, -270.0  # degrees from the x axis: zero of the scale, and how far it goes


class Dial(NamedTuple):
    """A gauge's face that is being drawn: (size, size) pixels, its ink and where it is drawn on."""

    draw: ImageDraw.ImageDraw
    size: int
    ink: RGB

    def at(self, share: float, radius: float) -> tuple[float, float]:
        """The pixel at a share of the scale and a share of the radius."""
        angle, c = np.deg2rad(DIAL_START + DIAL_SWEEP * share), self.size / 2
        return c + radius * c * float(np.cos(angle)), c - radius * c * float(np.sin(angle))

    def text(self, height: float, text: str, size: float) -> None:
        """Text on the vertical middle line; ``height`` in radii from the top, ``size`` a share of the face's."""
        c = self.size / 2
        centred(self.draw, (c, c * height), text, self.size * size, self.ink)


def dial(rng: np.random.Generator, size: int = 420) -> Picture:
    """A gauge's face: scale, figures, coloured bands, unit, maker and needle."""
    unit, top = DIAL_RANGES[int(rng.integers(8))]
    dark = rng.random() < 0.2
    ground: RGB = (24, 26, 30) if dark else [(246, 246, 242), (236, 230, 208), (250, 250, 250)][int(rng.integers(3))]
    image = Image.new("RGB", (size, size), ground)
    face = Dial(ImageDraw.Draw(image), size, (235, 235, 235) if dark else (20, 20, 24))
    _bands(face, rng)
    _scale(face, int(rng.choice([4, 5, 6, 8])), top)
    face.text(1.36, unit, 0.10)
    face.text(0.66, str(rng.choice(MAKERS)), 0.045)
    face.text(1.62, f"KL {rng.choice(['1.0', '1.6', '2.5'])}", 0.04)
    _needle(face, rng)
    return aged(rng, image, float(rng.uniform(0, 0.6)))


def _bands(face: Dial, rng: np.random.Generator) -> None:
    """Coloured bands along the scale, or none."""
    low, high = rng.uniform(0.15, 0.45), rng.uniform(0.55, 0.9)
    bands: list[list[tuple[float, float, RGB]]] = [
        [(0, low, (214, 170, 30)), (low, high, (40, 150, 70)), (high, 1, (205, 40, 36))],
        [(high, 1, (205, 40, 36))],
        [(low, high, (40, 140, 80))],
        [],
    ]
    box = [face.size * 0.09, face.size * 0.09, face.size * 0.91, face.size * 0.91]
    for first, last, colour in bands[int(rng.integers(4))]:
        face.draw.arc(box, 135 + 270 * first, 135 + 270 * last, fill=colour, width=int(face.size * 0.05))


def _scale(face: Dial, steps: int, top: float) -> None:
    """``steps`` long strokes with figures up to ``top``, four short ones between two."""
    for i in range(steps * 5 + 1):
        share, major = i / (steps * 5), i % 5 == 0
        stroke = [face.at(share, 0.84), face.at(share, 0.70 if major else 0.77)]
        face.draw.line(stroke, fill=face.ink, width=int(face.size * (0.013 if major else 0.006)))
        if major:
            centred(face.draw, face.at(share, 0.57), f"{top * share:g}"[:4], face.size * 0.075, face.ink)


def _needle(face: Dial, rng: np.random.Generator) -> None:
    """The needle at a reading, and its hub."""
    c, size, reading = face.size / 2, face.size, float(rng.uniform(0.08, 0.95))
    colour: RGB = (200, 30, 30) if rng.random() < 0.35 else face.ink
    angle = np.deg2rad(DIAL_START + DIAL_SWEEP * reading)
    wide = (np.sin(angle) * size * 0.022, np.cos(angle) * size * 0.022)
    sides = [(c - wide[0], c - wide[1]), face.at(reading, 0.74), (c + wide[0], c + wide[1]), face.at(reading, -0.2)]
    face.draw.polygon(sides, fill=colour)
    face.draw.ellipse([c - size * 0.05, c - size * 0.05, c + size * 0.05, c + size * 0.05], fill=(70, 70, 74))


def tag_plate(rng: np.random.Generator, text: str, width: int = 320, height: int = 120) -> Picture:
    """An engraved tag: one line of text."""
    ground, ink = TAG_COLOURS[int(rng.integers(len(TAG_COLOURS)))]
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle([5, 5, width - 6, height - 6], outline=ink, width=3)
    centred(draw, (width / 2, height * 0.5), text, min(height * 0.5, width / len(text) * 1.5), ink)
    for x in (18, width - 18):
        draw.ellipse([x - 6, height / 2 - 6, x + 6, height / 2 + 6], fill=(90, 92, 94))
    return aged(rng, image, float(rng.uniform(0, 0.9)))


PLATE_FIELDS = (
    "Type", "No.", "V", "Hz", "kW", "rpm", "A", "IP", "Year", "kg", "bar", "m³/h", "DN", "PN", "T max", "cos φ", "Cl.",
    "Duty",
)  # fmt: skip


def nameplate(rng: np.random.Generator, title: str, size: tuple[int, int] = (560, 380)) -> Picture:
    """A rating plate: maker, boxes of figures, a serial number."""
    ground, ink = PLATE_COLOURS[int(rng.integers(len(PLATE_COLOURS)))]
    w, h = size
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([8, 8, w - 9, h - 9], 16, outline=ink, width=3)
    head = 0.2 + 0.06 * rng.random()
    banner = rng.random() < 0.5
    if banner:
        draw.rectangle([10, 10, w - 11, h * head], fill=ink)
    mark, maker = ground if banner else ink, str(rng.choice(MAKERS))
    centred(draw, (w * (0.5 if rng.random() < 0.6 else 0.36), h * (head * 0.55)), maker, h * 0.115, mark)
    _emblem(draw, int(rng.integers(4)), (w * 0.88, h * head * 0.55), h * 0.07, mark)
    centred(draw, (w * 0.5, h * (head + 0.09)), title, h * 0.07, ink)
    grid = int(rng.integers(3, 7)), int(rng.integers(1, 4))
    bottom = h * (0.92 if rng.random() < 0.5 else 0.78)
    _figures(draw, rng, grid, (w * 0.05, h * (head + 0.17), w * 0.95, bottom), ink)
    if bottom < h * 0.9:
        centred(draw, (w * 0.5, h * 0.86), f"S/N {int(rng.integers(10**5, 10**7))}", h * 0.075, ink)
    for x in (24, w - 24):
        for y in (24, h - 24):
            draw.ellipse([x - 9, y - 9, x + 9, y + 9], fill=(104, 106, 108), outline=(60, 60, 62))
    return aged(rng, image, float(rng.uniform(0.1, 1.2)))


def _emblem(draw: ImageDraw.ImageDraw, shape: int, at: tuple[float, float], r: float, colour: RGB) -> None:
    """The maker's sign: a ring (0), a triangle (1), a square (2) or nothing."""
    x, y = at
    if shape == 0:
        draw.ellipse([x - r, y - r, x + r, y + r], outline=colour, width=5)
    elif shape == 1:
        draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=colour)
    elif shape == 2:
        draw.rectangle([x - r, y - r, x + r, y + r], fill=colour)


def _figures(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    grid: tuple[int, int],
    area: tuple[float, float, float, float],
    ink: RGB,
) -> None:
    """``grid`` (rows, columns) of boxes over ``area`` (left, top, right, bottom), each with a name and a number."""
    rows, columns = grid
    left, top, right, bottom = area
    for i in range(rows):
        for j in range(columns):
            x0, x1 = left + j * (right - left) / columns, left + (j + 1) * (right - left) / columns
            y0, y1 = top + i * (bottom - top) / rows, top + (i + 1) * (bottom - top) / rows
            draw.rectangle([x0, y0, x1, y1], outline=ink, width=2)
            size = min((y1 - y0) * 0.55, (x1 - x0) * 0.12)
            text = f"{PLATE_FIELDS[int(rng.integers(len(PLATE_FIELDS)))]}  {int(rng.integers(1, 9999))}"
            draw.text((x0 + 6, (y0 + y1) / 2), text, font=font(size), fill=ink, anchor="lm")


def warning(rng: np.random.Generator, size: int = 200) -> Picture:
    """A sign: the yellow triangle with a bolt, or a blue or red round one."""
    image = Image.new("RGB", (size, size), (238, 238, 234))
    draw = ImageDraw.Draw(image)
    s = size
    choice = int(rng.integers(3))
    if choice == 0:
        image.paste((240, 196, 24), (0, 0, s, s))
        draw.polygon([(s * 0.5, s * 0.08), (s * 0.95, s * 0.9), (s * 0.05, s * 0.9)], fill=(18, 18, 18))
        draw.polygon([(s * 0.5, s * 0.2), (s * 0.86, s * 0.84), (s * 0.14, s * 0.84)], fill=(244, 200, 30))
        draw.polygon(
            [
                (s * 0.54, s * 0.32),
                (s * 0.40, s * 0.60),
                (s * 0.50, s * 0.60),
                (s * 0.45, s * 0.80),
                (s * 0.62, s * 0.52),
                (s * 0.52, s * 0.52),
            ],
            fill=(18, 18, 18),
        )
    elif choice == 1:
        draw.ellipse([s * 0.06, s * 0.06, s * 0.94, s * 0.94], fill=(24, 74, 160))
        draw.ellipse([s * 0.38, s * 0.22, s * 0.62, s * 0.46], fill=(245, 245, 245))
        draw.rectangle([s * 0.34, s * 0.48, s * 0.66, s * 0.80], fill=(245, 245, 245))
    else:
        draw.ellipse([s * 0.06, s * 0.06, s * 0.94, s * 0.94], fill=(200, 30, 30))
        draw.ellipse([s * 0.18, s * 0.18, s * 0.82, s * 0.82], fill=(245, 245, 245))
        draw.line([s * 0.2, s * 0.2, s * 0.8, s * 0.8], fill=(200, 30, 30), width=int(s * 0.1))
    return aged(rng, image, float(rng.uniform(0, 0.8)))
