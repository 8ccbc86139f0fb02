"""What plant equipment is painted with, and the words on its plates."""

from __future__ import annotations

import numpy as np

from plantdemo.drawing.model import Colour, Material

PAINTS: dict[str, Colour] = {
    "grey": (0.55, 0.58, 0.60),
    "blue": (0.16, 0.33, 0.60),
    "green": (0.20, 0.45, 0.33),
    "red": (0.70, 0.16, 0.13),
    "yellow": (0.88, 0.70, 0.15),
    "orange": (0.86, 0.43, 0.12),
    "cream": (0.84, 0.80, 0.68),
    "black": (0.17, 0.18, 0.19),
    "turquoise": (0.20, 0.55, 0.58),
    "brown": (0.42, 0.29, 0.20),
    "silver": (0.74, 0.76, 0.78),
    "olive": (0.44, 0.45, 0.25),
}
MAKERS = ("NORDVIK", "HALBERG", "AXION FLOW", "TERVO", "KESTREL", "MARLOWE", "SANTORI", "BRUNEL", "OSTRA", "VELDT")


def paint(rng: np.random.Generator, *names: str, wear: float = 0.25) -> Material:
    """One of the named paints (any, if none is named), a little off its shade, with up to ``wear`` of rust."""
    choices = names or tuple(PAINTS)
    base = np.asarray(PAINTS[choices[int(rng.integers(len(choices)))]])
    tint = np.clip(base * rng.uniform(0.85, 1.12) + rng.uniform(-0.04, 0.04, 3), 0.05, 0.97)
    rust = float(rng.uniform(0, wear)) if rng.random() < 0.8 else 0.0
    return Material((float(tint[0]), float(tint[1]), float(tint[2])), gloss=float(rng.uniform(0.15, 0.7)), rust=rust)


def steel(rng: np.random.Generator, rust: float = 0.0) -> Material:
    """Bare steel: bright, brushed or dull."""
    tone = float(rng.uniform(0.58, 0.80))
    return Material((tone, tone, tone * 1.02), gloss=float(rng.uniform(0.4, 0.8)), metal=0.9, rust=rust)


def brass(rng: np.random.Generator) -> Material:
    """Brass of fittings and nuts."""
    tone = float(rng.uniform(0.9, 1.05))
    return Material((0.80 * tone, 0.64 * tone, 0.32 * tone), gloss=0.6, metal=0.85)


def rubber(tone: float = 0.15) -> Material:
    """Black rubber and cable sheath."""
    return Material((tone, tone, tone), gloss=0.2)


def tag(rng: np.random.Generator, letters: str) -> str:
    """A tag such as ``PI-2041B``."""
    return f"{letters}-{int(rng.integers(100, 9999))}{rng.choice(['', 'A', 'B', 'C'])!s}"
