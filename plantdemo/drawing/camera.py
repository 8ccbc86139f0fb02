"""Lens, sensor and file of a phone: exposure, blur, noise, JPEG, and the orientation tag."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from plantdemo.drawing.textures import sensor_noise

LONG_SIDES = (640, 720, 800, 960, 1024, 1280, 1600)
LONG_SIDE_SHARES = (0.30, 0.24, 0.22, 0.12, 0.07, 0.04, 0.01)
ORIENTATION, MAKE, MODEL, TAKEN = 0x0112, 0x010F, 0x0110, 0x9003
PHONES = (("Fieldmark", "F2"), ("Fieldmark", "F3 Ex"), ("Orrin", "Rugged 8"))
# what turns the picture as displayed into the one stored under each orientation tag
STORED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def frame(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height in pixels: 4:3 or 3:4, long side 640 to 1600."""
    long = int(rng.choice(LONG_SIDES, p=LONG_SIDE_SHARES))
    return (long, long * 3 // 4) if rng.random() < 0.55 else (long * 3 // 4, long)


def expose(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture through lens and sensor: blur, exposure and white balance, noise. RGB in and out, same size."""
    long = max(image.size)
    fault = rng.random()
    if fault < 0.12:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.0012, 0.0035)) * long))
    elif fault < 0.20:
        image = _shaken(image, rng)
    # a phone meters the scene, but not perfectly
    level = np.asarray(image.resize((24, 24), Image.Resampling.NEAREST).convert("L")).mean() / 255
    metered = 0.7 * np.log2(0.43 / max(level, 0.05))
    stops, contrast = float(np.clip(metered + rng.normal(0, 0.2), -0.7, 1.1)), float(rng.uniform(0.9, 1.2))
    balance = np.exp2(stops) * np.array([1 + rng.normal(0, 0.035), 1.0, 1 + rng.normal(0, 0.045)])
    steps = np.arange(256) / 255
    tables = [
        np.clip(((np.clip(steps * b, 0, 1.15) - 0.45) * contrast + 0.45) * 255, 0, 255).astype(int).tolist()
        for b in balance
    ]
    image = image.point(tables[0] + tables[1] + tables[2])
    noise = sensor_noise()
    x, y = int(rng.integers(noise.width - image.width + 1)), int(rng.integers(noise.height - image.height + 1))
    strength = float(rng.choice([0.10, 0.22, 0.40, 0.65], p=[0.35, 0.35, 0.2, 0.1]))
    grains = noise.crop((x, y, x + image.width, y + image.height)).point(
        [round(128 + (i - 128) * strength) for i in range(256)] * 3
    )
    return ImageChops.add(image, grains, 1.0, -128)


def _shaken(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Motion blur along a line: the mean of shifted copies."""
    reach = float(rng.uniform(0.002, 0.006)) * max(image.size)
    turn = float(rng.uniform(0, np.pi))
    x, y = round(reach * np.cos(turn)), round(reach * np.sin(turn))
    out = image
    for i, share in enumerate((-1.0, -0.5, 0.5, 1.0)):
        out = Image.blend(out, ImageChops.offset(image, round(x * share), round(y * share)), 1 / (i + 2))
    # offset wraps around: the strip along the edges is cut off
    edge_x, edge_y = abs(x) + 1, abs(y) + 1
    return out.resize(
        image.size, Image.Resampling.BILINEAR, (edge_x, edge_y, image.width - edge_x, image.height - edge_y)
    )


def jpeg(image: Image.Image, rng: np.random.Generator, taken: date) -> bytes:
    """The file a phone writes: some pictures lie rotated in it and carry the orientation tag."""
    exif = Image.Exif()
    orientation = int(rng.choice([1, 3, 6, 8], p=[0.86, 0.03, 0.08, 0.03]))
    exif[ORIENTATION] = orientation
    exif[MAKE], exif[MODEL] = PHONES[int(rng.integers(len(PHONES)))]
    hour, minute = int(rng.integers(7, 19)), int(rng.integers(60))
    exif[0x0132] = f"{taken:%Y:%m:%d} {hour:02d}:{minute:02d}:00"
    stored = image if orientation == 1 else image.transpose(STORED[orientation])
    out = io.BytesIO()
    stored.save(out, "JPEG", quality=int(rng.integers(62, 93)), exif=exif.tobytes())
    return out.getvalue()
