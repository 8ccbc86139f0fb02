"""Twelve edits of a picture, each of one strength, and which originals of a set show the same pixels already."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Picture = Image.Image


def cropped(im: Picture, share: float, across: float, down: float) -> Picture:
    """``share`` of the area, in the same proportions; 0.5, 0.5 is the middle, 0, 0 the upper left corner."""
    width, height = (round(side * share**0.5) for side in im.size)
    left, top = round(across * (im.width - width)), round(down * (im.height - height))
    return im.crop((left, top, left + width, top + height))


def recoloured(im: Picture) -> Picture:
    """Hue turned by 56 degrees, saturation times 1.5."""
    hue, saturation, value = im.convert("HSV").split()
    hue, saturation = hue.point(lambda v: (v + 40) % 256), saturation.point(lambda v: min(255, int(v * 1.5)))
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def darkened(im: Picture) -> Picture:
    """Gamma 1.8, contrast times 1.3."""
    return ImageEnhance.Contrast(im.point(lambda v: int(255 * (v / 255) ** 1.8))).enhance(1.3)


def bordered(im: Picture) -> Picture:
    """White bars of 12 % of each side on all four sides."""
    return ImageOps.expand(im, (int(0.12 * im.width), int(0.12 * im.height)), "white")


def watermarked(im: Picture) -> Picture:
    """Two lines of text across the picture, each a sixth of its height, 60 % opaque."""
    layer = Image.new("RGBA", im.size, (0, 0, 0, 0))
    draw, font = ImageDraw.Draw(layer), ImageFont.load_default(size=im.height // 6)
    for top in (im.height // 6, im.height // 2):
        draw.text(
            (im.width // 12, top), "SAMPLE 2026", font=font, fill=(255, 255, 255, 150), stroke_width=2,
            stroke_fill=(0, 0, 0, 150),
        )  # fmt: skip
    return Image.alpha_composite(im.convert("RGBA"), layer).convert("RGB")


def tilted(im: Picture) -> Picture:
    """Turned by 7 degrees and cut to 85 % of each side."""
    return cropped(im.rotate(7, Image.Resampling.BICUBIC), 0.85**2, 0.5, 0.5)


#: Name → the edit, the quality of the JPEG it is saved as, and its strength in words.
EDITS: dict[str, tuple[Callable[[Picture], Picture], int, str]] = {
    "mirror": (ImageOps.mirror, 90, "left is right"),
    "turn-90": (lambda im: im.transpose(Image.Transpose.ROTATE_90), 90, "a quarter turn"),
    "turn-180": (lambda im: im.transpose(Image.Transpose.ROTATE_180), 90, "upside down"),
    "tilt": (tilted, 90, "7 degrees, cut to 85 % of each side"),
    "crop-centre": (lambda im: cropped(im, 0.5, 0.5, 0.5), 90, "half of the area, the middle"),
    "crop-corner": (lambda im: cropped(im, 0.5, 0.0, 0.0), 90, "half of the area, upper left"),
    "recolour": (recoloured, 90, "hue + 56 degrees, saturation x 1.5"),
    "darken": (darkened, 90, "gamma 1.8, contrast x 1.3"),
    "recompress": (lambda im: im, 15, "JPEG quality 15"),
    "shrink": (
        lambda im: im.resize((im.width * 2 // 5, im.height * 2 // 5), Image.Resampling.BICUBIC), 80, "40 % of each side"
    ),
    "border": (bordered, 90, "white, 12 % of each side on four sides"),
    "watermark": (watermarked, 90, "two lines of text, 60 % opaque"),
}  # fmt: skip


def edited(im: Picture, name: str) -> bytes:
    """The edited copy as a JPEG file."""
    edit, quality, _ = EDITS[name]
    out = io.BytesIO()
    edit(im.convert("RGB")).save(out, "JPEG", quality=quality)
    return out.getvalue()


def overlapping(pictures: list[Picture], least: float = 0.1, alike: float = 0.8) -> list[tuple[int, int]]:
    """Pairs i < j of pictures of one size that show the same pixels, one moved or turned by quarters against the other.

    By phase correlation (Kuglin and Hines 1975) of the grey levels at half their size; then where they lie over one
    another, at least ``least`` of the area, their correlation is ``alike`` or more. It has nothing in common with the
    product's check.
    """
    greys = [np.asarray(im.convert("L").reduce(2), np.float32) for im in pictures]
    spectra = [[_spectrum(np.rot90(grey, turns)) for turns in range(4)] for grey in greys]
    pairs = []
    for i, one in enumerate(greys):
        for j in range(i + 1, len(greys)):
            turns = [t for t in range(4) if np.rot90(greys[j], t).shape == one.shape]
            if any(_moved(one, np.rot90(greys[j], t), spectra[i][0], spectra[j][t], least, alike) for t in turns):
                pairs.append((i, j))
    return pairs


def _spectrum(grey: np.ndarray) -> np.ndarray:
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1])) ** 0.5
    return np.fft.rfft2((grey - grey.mean()) * window).astype(np.complex64)


def _moved(one: np.ndarray, other: np.ndarray, a: np.ndarray, b: np.ndarray, least: float, alike: float) -> bool:
    cross = a * np.conj(b)
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-6), one.shape)
    place = int(peaks.argmax())
    if peaks.flat[place] < 6 * peaks.std():
        return False
    return _agree(one, other, *divmod(place, peaks.shape[1]), least, alike)


def _agree(one: np.ndarray, other: np.ndarray, down: int, across: int, least: float, alike: float) -> bool:
    height, width = one.shape
    for top in (down, down - height):
        for left in (across, across - width):
            here = one[max(0, top) : height + min(0, top), max(0, left) : width + min(0, left)]
            there = other[max(0, -top) : height + min(0, -top), max(0, -left) : width + min(0, -left)]
            if here.size >= least * one.size and np.corrcoef(here.ravel(), there.ravel())[0, 1] >= alike:
                return True
    return False
