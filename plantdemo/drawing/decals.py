"""Printed matter: dials, nameplates, tags and warning signs as (h, w, 3) uint8 pictures."""

from __future__ import annotations

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


def dial(rng: np.random.Generator, size: int = 420) -> Picture:
    """A gauge's face: scale, figures, coloured bands, unit, maker and needle."""
    unit, top = [
        ("bar", 10),
        ("bar", 16),
        ("bar", 2.5),
        ("kPa", 600),
        ("psi", 100),
        ("MPa", 4),
        ("bar", 40),
        ("°C", 120),
    ][int(rng.integers(8))]
    dark = rng.random() < 0.2
    ground: RGB = (24, 26, 30) if dark else [(246, 246, 242), (236, 230, 208), (250, 250, 250)][int(rng.integers(3))]
    ink: RGB = (235, 235, 235) if dark else (20, 20, 24)
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    c = size / 2
    start, sweep = 225.0, -270.0

    def at(share: float, radius: float) -> tuple[float, float]:
        angle = np.deg2rad(start + sweep * share)
        return c + radius * c * float(np.cos(angle)), c - radius * c * float(np.sin(angle))

    low, high = rng.uniform(0.15, 0.45), rng.uniform(0.55, 0.9)
    bands: list[list[tuple[float, float, RGB]]] = [
        [(0, low, (214, 170, 30)), (low, high, (40, 150, 70)), (high, 1, (205, 40, 36))],
        [(high, 1, (205, 40, 36))],
        [(low, high, (40, 140, 80))],
        [],
    ]
    for first, last, colour in bands[int(rng.integers(4))]:
        draw.arc(
            [size * 0.09, size * 0.09, size * 0.91, size * 0.91],
            135 + 270 * first,
            135 + 270 * last,
            fill=colour,
            width=int(size * 0.05),
        )
    steps = int(rng.choice([4, 5, 6, 8]))
    for i in range(steps * 5 + 1):
        share = i / (steps * 5)
        major = i % 5 == 0
        draw.line(
            [at(share, 0.84), at(share, 0.70 if major else 0.77)],
            fill=ink,
            width=int(size * (0.013 if major else 0.006)),
        )
        if major:
            centred(draw, at(share, 0.57), f"{top * share:g}"[:4], size * 0.075, ink)
    centred(draw, (c, c * 1.36), unit, size * 0.10, ink)
    centred(draw, (c, c * 0.66), str(rng.choice(MAKERS)), size * 0.045, ink)
    centred(draw, (c, c * 1.62), f"KL {rng.choice(['1.0', '1.6', '2.5'])}", size * 0.04, ink)
    reading = float(rng.uniform(0.08, 0.95))
    needle: RGB = (200, 30, 30) if rng.random() < 0.35 else ink
    tip, angle = at(reading, 0.74), np.deg2rad(start + sweep * reading)
    wide = (np.sin(angle) * size * 0.022, np.cos(angle) * size * 0.022)
    tail = at(reading, -0.2)
    draw.polygon([(c - wide[0], c - wide[1]), tip, (c + wide[0], c + wide[1]), tail], fill=needle)
    draw.ellipse([c - size * 0.05, c - size * 0.05, c + size * 0.05, c + size * 0.05], fill=(70, 70, 74))
    return aged(rng, image, float(rng.uniform(0, 0.6)))


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
    maker = str(rng.choice(MAKERS))
    centred(
        draw,
        (w * (0.5 if rng.random() < 0.6 else 0.36), h * (head * 0.55)),
        maker,
        h * 0.115,
        ground if banner else ink,
    )
    emblem = int(rng.integers(4))
    x, y, r = w * 0.88, h * head * 0.55, h * 0.07
    mark = ground if banner else ink
    if emblem == 0:
        draw.ellipse([x - r, y - r, x + r, y + r], outline=mark, width=5)
    elif emblem == 1:
        draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=mark)
    elif emblem == 2:
        draw.rectangle([x - r, y - r, x + r, y + r], fill=mark)
    centred(draw, (w * 0.5, h * (head + 0.09)), title, h * 0.07, ink)
    rows, columns = int(rng.integers(3, 7)), int(rng.integers(1, 4))
    top, bottom = h * (head + 0.17), h * (0.92 if rng.random() < 0.5 else 0.78)
    names = [
        "Type",
        "No.",
        "V",
        "Hz",
        "kW",
        "rpm",
        "A",
        "IP",
        "Year",
        "kg",
        "bar",
        "m³/h",
        "DN",
        "PN",
        "T max",
        "cos φ",
        "Cl.",
        "Duty",
    ]
    for i in range(rows):
        for j in range(columns):
            x0, x1 = w * 0.05 + j * w * 0.9 / columns, w * 0.05 + (j + 1) * w * 0.9 / columns
            y0, y1 = top + i * (bottom - top) / rows, top + (i + 1) * (bottom - top) / rows
            draw.rectangle([x0, y0, x1, y1], outline=ink, width=2)
            size_text = min((y1 - y0) * 0.55, (x1 - x0) * 0.12)
            label = names[int(rng.integers(len(names)))]
            draw.text(
                (x0 + 6, (y0 + y1) / 2),
                f"{label}  {int(rng.integers(1, 9999))}",
                font=font(size_text),
                fill=ink,
                anchor="lm",
            )
    if bottom < h * 0.9:
        centred(draw, (w * 0.5, h * 0.86), f"S/N {int(rng.integers(10**5, 10**7))}", h * 0.075, ink)
    for x in (24, w - 24):
        for y in (24, h - 24):
            draw.ellipse([x - 9, y - 9, x + 9, y + 9], fill=(104, 106, 108), outline=(60, 60, 62))
    return aged(rng, image, float(rng.uniform(0.1, 1.2)))


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
