"""Surfaces of a plant as square pictures that repeat without a seam: concrete, steel, brick, grating and so on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import fft, ndimage

Floats = NDArray[np.float32]

TILE = 768  # pixels; a scene shows at most three by three tiles


def fractal(
    rng: np.random.Generator, size: int = TILE, slope: float = 1.6, stretch: tuple[float, float] = (1.0, 1.0)
) -> Floats:
    """Seamless noise with a 1/f**slope spectrum, about 0.5, clipped to 0..1: (size, size) float32.

    ``stretch`` below 1 in its first part draws the pattern out downwards, in its second sideways.
    """
    fy = np.fft.fftfreq(size)[:, None] * size * stretch[1]
    fx = np.fft.rfftfreq(size)[None, :] * size * stretch[0]
    power = 1 / np.maximum(np.hypot(fy, fx), 1.0) ** slope
    power[0, 0] = 0
    waves = rng.standard_normal((*power.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    noise = fft.irfft2(power.astype(np.float32) * waves, (size, size))
    noise = (noise - noise.mean()) / noise.std()
    return np.clip(0.5 + noise * 0.22, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def grain() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fine dirt and coarse blotches, (512, 512) each, 0..255: the wear of every painted surface."""
    rng = np.random.default_rng([11, 1])
    return (fractal(rng, 512, 1.1) * 255).astype(np.uint8), (fractal(rng, 512, 2.0) * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def sensor_noise() -> Image.Image:
    """RGB noise about grey 128 with a deviation of about 19, (1664, 1664): shifted and scaled for every photograph."""
    rng = np.random.default_rng([11, 2])
    noise = rng.standard_normal((1664, 1664, 3), dtype=np.float32)
    noise += np.roll(noise, 1, 0) * 0.6
    noise += np.roll(noise, 1, 1) * 0.6
    return Image.fromarray(np.clip(128 + 14 * noise, 0, 255).astype(np.uint8))


def mix(colour_a: tuple[float, ...], colour_b: tuple[float, ...], share: Floats) -> Floats:
    """From one 0..255 RGB colour to another: (h, w, 3)."""
    a, b = np.asarray(colour_a, np.float32), np.asarray(colour_b, np.float32)
    return a + (b - a) * share[..., None]


def relief(height: Floats, strength: float) -> Floats:
    """Light from the upper left on a height map: factors about 1, (h, w)."""
    dy = np.roll(height, -1, 0) - np.roll(height, 1, 0)
    dx = np.roll(height, -1, 1) - np.roll(height, 1, 1)
    return np.clip(1 + strength * (dx + dy), 0.3, 1.8)


def concrete(rng: np.random.Generator) -> Floats:
    """Cast concrete: blotches, pores, streaks of water, joints of the formwork."""
    coarse, fine = fractal(rng, slope=1.9), fractal(rng, slope=0.7)
    streaks = fractal(rng, slope=1.6, stretch=(0.12, 1.0))
    pores = ndimage.gaussian_filter((rng.random((TILE, TILE)) > 0.9990).astype(np.float32), 1.4, mode="wrap")
    warm = rng.uniform(-8, 8)
    base = mix(
        (112 + warm, 110, 106 - warm), (176 + warm, 173, 166 - warm), coarse * 0.6 + fine * 0.25 + streaks * 0.15
    )
    base *= (1 - 0.30 * np.clip(streaks - 0.6, 0, 1) * 2 - 3.5 * pores)[..., None]
    for at in (0, TILE // 2):
        base[:, at : at + 3] *= 0.72
        base[at + 150 : at + 153] *= 0.76
    return base * relief(fine, 0.8)[..., None]


def corrosion(rng: np.random.Generator) -> Floats:
    """Painted steel plate with rust breaking through, running down from the spots."""
    colours = [(96, 122, 128), (140, 146, 132), (150, 120, 62), (88, 104, 92)]
    paint = colours[int(rng.integers(len(colours)))]
    coarse, fine = fractal(rng, slope=1.7), fractal(rng, slope=0.9)
    runs = fractal(rng, slope=1.5, stretch=(0.1, 1.0))
    rust = np.clip((coarse * 0.75 + runs * 0.35 + fine * 0.15 - 0.68) * 9, 0, 1)
    surface = mix(paint, tuple(c * 1.18 for c in paint), fine)
    rusty = mix((72, 36, 18), (168, 92, 42), fine * 0.6 + runs * 0.4)
    edge = np.clip(1 - np.abs(rust - 0.25) * 4, 0, 1)
    base = surface + (rusty - surface) * rust[..., None]
    return base * (1 - 0.25 * edge)[..., None] * relief(coarse * 3 + fine, 0.5)[..., None]


def brick(rng: np.random.Generator) -> Floats:
    """Masonry in running bond with mortar joints."""
    y, x = np.mgrid[0:TILE, 0:TILE]
    row = y // 64
    column = ((x + 64 * (row % 2)) % TILE) // 128
    tone = rng.normal(0, 1, (TILE // 64, TILE // 128)).astype(np.float32)[row, column]
    hue = rng.uniform(0, 1)
    fine, coarse = fractal(rng, slope=1.0), fractal(rng, slope=2.0)
    base = mix(
        (120, 62 + 40 * hue, 48 + 50 * hue),
        (178, 106 + 45 * hue, 82 + 60 * hue),
        np.clip(0.5 + 0.2 * tone + 0.5 * (fine - 0.5), 0, 1),
    )
    joint = np.minimum(
        np.minimum(y % 64, 63 - y % 64), np.minimum((x + 64 * (row % 2)) % 128, 127 - (x + 64 * (row % 2)) % 128)
    )
    height = np.clip(joint / 5.0, 0, 1).astype(np.float32)
    mortar = mix((138, 134, 126), (170, 166, 158), fine)
    base = mortar + (base - mortar) * height[..., None]
    return base * (relief(height + 0.3 * fine, 0.35) * (0.8 + 0.35 * coarse))[..., None]


def cladding(rng: np.random.Generator) -> Floats:
    """Corrugated sheet metal with screws and streaks."""
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    wave = 0.5 + 0.5 * np.sin(x / TILE * 2 * np.pi * 10)
    profile = np.clip((wave - 0.5) * 2.2 + 0.5, 0, 1)
    colours = [(126, 138, 146), (108, 126, 112), (156, 152, 140), (92, 108, 132)]
    paint = colours[int(rng.integers(len(colours)))]
    streaks = fractal(rng, slope=1.4, stretch=(0.06, 1.0))
    base = mix(tuple(c * 0.85 for c in paint), tuple(min(255, c * 1.2) for c in paint), streaks)
    base *= relief(ndimage.gaussian_filter1d(profile, 3, axis=1, mode="wrap").astype(np.float32), 2.2)[..., None]
    base *= (0.9 + 0.12 * profile)[..., None]
    screws = ((np.abs(x % (TILE / 6) - 42) < 5) & (np.abs(y % (TILE / 2) - 190) < 5)).astype(np.float32)
    return base * (1 - 0.45 * ndimage.gaussian_filter(screws, 1.0))[..., None]


def pipes(rng: np.random.Generator) -> Floats:
    """A rack of upright pipes of several diameters before a dark wall."""
    out = mix((38, 40, 42), (64, 66, 66), fractal(rng, slope=1.4))
    grime = fractal(rng, slope=1.5, stretch=(0.15, 1.0))
    paints = [(120, 128, 130), (92, 112, 96), (146, 142, 128), (70, 92, 124), (150, 128, 60), (128, 84, 66)]
    x = int(rng.integers(0, 40))
    while x < TILE - 40:
        width = int(min(rng.choice([34, 54, 84, 128]), TILE - x))
        across = (np.arange(width) + 0.5) / width * 2 - 1
        shade = (
            np.sqrt(1 - across**2) * (0.62 - 0.38 * across) + 0.16 + 0.5 * np.exp(-(((across + 0.4) / 0.12) ** 2)) * 0.4
        )
        paint = np.asarray(paints[int(rng.integers(len(paints)))], np.float32)
        strip = paint * (shade[None, :, None] * 1.25) * (0.78 + 0.4 * grime[:, x : x + width, None])
        at = int(rng.integers(0, TILE - 60))
        strip[at : at + 34] *= 1.22
        strip[at + 34 : at + 42] *= 0.55
        out[:, x : x + width] = strip
        out[:, x + width : x + width + 12] *= 0.55
        x += width + int(rng.integers(8, 46))
    return out


def tiles(rng: np.random.Generator) -> Floats:
    """Glazed wall tiles with dirty joints."""
    y, x = np.mgrid[0:TILE, 0:TILE]
    tone = rng.normal(0, 1, (TILE // 128, TILE // 128)).astype(np.float32)[y // 128, x // 128]
    fine = fractal(rng, slope=1.2)
    tint = rng.uniform(-5, 5, 3)
    base = mix(
        tuple(np.array([186.0, 192, 188]) + tint),
        tuple(np.array([222.0, 226, 220]) + tint),
        np.clip(0.5 + 0.15 * tone + 0.4 * (fine - 0.5), 0, 1),
    )
    joint = np.clip(
        np.minimum(np.minimum(y % 128, 127 - y % 128), np.minimum(x % 128, 127 - x % 128)) / 4.0, 0, 1
    ).astype(np.float32)
    base = base * (0.42 + 0.58 * joint)[..., None]
    return base * (relief(joint, 0.2) * (0.86 + 0.2 * fractal(rng, slope=2.0)))[..., None]


def _lattice(rng: np.random.Generator, pitch_x: int, pitch_y: int) -> Floats:
    below = mix((24, 26, 28), (92, 90, 84), fractal(rng, slope=1.8))
    y, x = np.mgrid[0:TILE, 0:TILE]
    bars = np.minimum(x % pitch_x, pitch_x - x % pitch_x) < 5
    rods = np.minimum(y % pitch_y, pitch_y - y % pitch_y) < 4
    metal = mix((112, 116, 118), (176, 178, 176), fractal(rng, slope=1.2))
    rust = np.clip((fractal(rng, slope=1.8) - 0.62) * 8, 0, 1)[..., None]
    metal = metal + (np.array([126, 76, 42], np.float32) - metal) * rust
    shadow = np.roll(np.roll(bars | rods, 7, 0), 7, 1)
    out = below * np.where(shadow, 0.5, 1.0)[..., None]
    out = np.where(rods[..., None], metal * 0.82, out)
    return np.where(
        bars[..., None], metal * relief(ndimage.gaussian_filter(bars.astype(np.float32), 1.2), 0.9)[..., None], out
    )


def grating(rng: np.random.Generator) -> Floats:
    """Steel floor grating over the dark level below."""
    return _lattice(rng, 32, 128)


def checker_plate(rng: np.random.Generator) -> Floats:
    """Tread plate: raised lozenges in alternating directions, polished by boots."""
    image = Image.new("L", (TILE, TILE))
    draw = ImageDraw.Draw(image)
    for j in range(-1, TILE // 64 + 1):
        for i in range(-1, TILE // 64 + 1):
            cx, cy = i * 64 + 32, j * 64 + 32
            turn = 1 if (i + j) % 2 else -1
            lozenge = [
                (cx - 22, cy - 22 * turn),
                (cx + 5, cy - 5 * turn),
                (cx + 22, cy + 22 * turn),
                (cx - 5, cy + 5 * turn),
            ]
            draw.polygon(lozenge, fill=255)
    height = np.asarray(image.filter(ImageFilter.GaussianBlur(1.6)), np.float32) / np.float32(255)
    fine, coarse = fractal(rng, slope=1.0), fractal(rng, slope=1.9)
    base = mix((86, 90, 94), (148, 150, 150), fine * 0.4 + coarse * 0.6) + 34 * height[..., None]
    rust = np.clip((coarse * 0.8 + fine * 0.3 - 0.72) * 7, 0, 1)[..., None] * (1 - height[..., None])
    base = base + (np.array([118, 72, 40], np.float32) - base) * rust
    return base * relief(height, 0.9)[..., None]


def gravel(rng: np.random.Generator) -> Floats:
    """Loose stones: the nearest of many scattered points gives each stone its tone and its edge."""
    cell = 24
    n = TILE // cell
    size = n * cell
    jitter = rng.uniform(0.1, 0.9, (n, n, 2))
    tone = rng.uniform(0, 1, (n, n)).astype(np.float32)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / cell
    cy, cx = y.astype(int), x.astype(int)
    best = np.full((size, size), 9.0, np.float32)
    second, shade = best.copy(), np.zeros_like(best)
    for oy in (-1, 0, 1):
        for ox in (-1, 0, 1):
            j, i = (cy + oy) % n, (cx + ox) % n
            d = np.hypot(cy + oy + jitter[j, i, 0] - y, cx + ox + jitter[j, i, 1] - x).astype(np.float32)
            nearer = d < best
            second = np.where(nearer, best, np.minimum(second, d))
            shade = np.where(nearer, tone[j, i], shade)
            best = np.where(nearer, d, best)
    edge = np.clip((second - best) * 4, 0, 1)
    stones = mix((92, 88, 82), (186, 180, 168), shade) * (0.35 + 0.65 * edge)[..., None]
    stones *= relief(edge, 0.35)[..., None]
    image = Image.fromarray(np.clip(stones, 0, 255).astype(np.uint8)).resize((TILE, TILE), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)


SURFACES: dict[str, Callable[[np.random.Generator], Floats]] = {
    "concrete": concrete,
    "corrosion": corrosion,
    "brick": brick,
    "cladding": cladding,
    "pipes": pipes,
    "tiles": tiles,
    "grating": grating,
    "checker_plate": checker_plate,
    "gravel": gravel,
}
WALLS = ("concrete", "corrosion", "brick", "cladding", "pipes", "tiles")
FLOORS = ("concrete", "grating", "checker_plate", "gravel")


@lru_cache(maxsize=len(SURFACES))
def spread(name: str) -> tuple[Image.Image, tuple[int, ...]]:
    """A surface repeated three times either way, RGB (3 · TILE, 3 · TILE), and its mean colour; always the same."""
    rng = np.random.default_rng([23, list(SURFACES).index(name)])
    pixels = np.clip(SURFACES[name](rng), 0, 255).astype(np.uint8)
    mean = tuple(int(c) for c in pixels.mean(axis=(0, 1)))
    return Image.fromarray(np.tile(pixels, (3, 3, 1))), mean
