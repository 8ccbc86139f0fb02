"""Junction boxes, nameplates and fire extinguishers: what hangs on a wall."""

from __future__ import annotations

import numpy as np

from plantdemo.drawing import mesh
from plantdemo.drawing.decals import nameplate as nameplate_picture
from plantdemo.drawing.decals import warning
from plantdemo.drawing.kinds.fittings import X, Y, Z, plate, put
from plantdemo.drawing.model import Material, Model
from plantdemo.drawing.paint import paint, rubber, steel, tag

DOWN = (0.0, -1.0, 0.0)
TITLES = (
    "CENTRIFUGAL PUMP", "PRESSURE VESSEL", "GEAR UNIT", "COMPRESSOR", "TRANSFORMER", "3~ MOTOR", "SAFETY VALVE",
    "FILTER",
)  # fmt: skip


def junction_box(rng: np.random.Generator) -> Model:
    """A terminal box with its lid, screws, glands and cables."""
    model = Model("junction_box", wall=0.0)
    case = paint(rng, "grey", "silver", "cream", "blue", "black", "yellow", "orange", "green", wear=0.2)
    lid = case if rng.random() < 0.7 else paint(rng, "grey", "silver", "cream", "red", wear=0.15)
    w, h, deep = rng.uniform(0.95, 1.6), rng.uniform(0.85, 1.35), rng.uniform(0.25, 0.5)
    corner = float(rng.uniform(0, 0.14))
    y = 0.2
    model.add(put(mesh.extrude(mesh.rounded(w, h, corner), 0, deep, 0.01), (0, y, 0)), case)
    model.add(
        put(mesh.extrude(mesh.rounded(w * 0.95, h * 0.95, corner * 0.8), deep, deep + 0.07, 0.03), (0, y, 0)), lid, 0.02
    )
    screw = steel(rng, 0.2)
    across = (-1, 0, 1) if w > 1.3 and rng.random() < 0.5 else (-1, 1)
    for sx in across:
        for sy in (-1, 1):
            model.add(
                put(mesh.cylinder(0.045, deep + 0.05, deep + 0.085, 0.01, 14), (sx * w * 0.42, y + sy * h * 0.41, 0)),
                screw,
                0.05,
            )
    _cables(model, rng, w, (y - h / 2, deep * 0.5))
    _front(model, rng, (w, h), y, deep)
    return model


def _cables(model: Model, rng: np.random.Generator, w: float, edge: tuple[float, float]) -> None:
    """Glands along the lower ``edge`` (y, z) of a box ``w`` wide, a cable out of each."""
    glands = int(rng.integers(1, 6))
    brassy = steel(rng) if rng.random() < 0.5 else Material((0.75, 0.6, 0.3), 0.5, 0.8)
    for x in np.linspace(-0.36, 0.36, glands) * w if glands > 1 else [0.0]:
        at = (float(x), *edge)
        size = rng.uniform(0.055, 0.09)
        model.add(put(mesh.extrude(mesh.polygon(6, size * 1.3), 0, 0.1), at, DOWN), brassy)
        model.add(put(mesh.cylinder(size, 0.1, 0.2, 0.02, 18), at, DOWN), brassy)
        sheath = [rubber(), rubber(0.45), Material((0.12, 0.22, 0.5)), Material((0.75, 0.4, 0.1))][
            int(rng.choice(4, p=[0.55, 0.2, 0.15, 0.1]))
        ]
        drift = rng.uniform(-0.5, 0.5)
        line = mesh.curve(
            [at, (at[0], at[1] - 0.6, at[2]), (at[0] + drift, at[1] - 0.7, 0.12), (at[0] + drift, at[1] - 1.8, 0.08)],
            16,
        )
        model.add(mesh.sweep(line, float(size) * 0.6, 12), sheath)


def _front(model: Model, rng: np.random.Generator, size: tuple[float, float], y: float, deep: float) -> None:
    """What a box of ``size`` (w, h) about height ``y`` may have on its lid: a sign, a tag, a switch."""
    w, h = size
    if rng.random() < 0.7:
        sign = Material(gloss=0.4, picture=warning(rng))
        side = rng.uniform(0.28, 0.42)
        model.add(
            put(mesh.panel(side, side, 4), (rng.uniform(-0.2, 0.2) * w, y + rng.uniform(-0.1, 0.15) * h, deep + 0.075)),
            sign,
            0.06,
        )
    if rng.random() < 0.75:
        plate(
            model,
            tag(rng, "JB"),
            rng,
            (rng.uniform(-0.15, 0.15) * w, y + h * rng.choice([0.3, -0.32]), deep + 0.07),
            0.42 * min(w, 1.2),
        )
    if rng.random() < 0.4:
        knob = paint(rng, "red", "black", "yellow", wear=0.0)
        at = (rng.choice([-0.3, 0.3]) * w, y - 0.1 * h, deep + 0.07)
        model.add(put(mesh.cylinder(0.12, 0, 0.05, 0.01), at, Z), Material((0.9, 0.75, 0.1)), 0.04)
        model.add(put(mesh.cylinder(0.085, 0.05, 0.14, 0.02), at, Z), knob, 0.06)


def nameplate(rng: np.random.Generator) -> Model:
    """A rating plate riveted to a painted casing."""
    model = Model("nameplate", wall=0.0)
    w = 1.7
    h = float(rng.uniform(0.85, 1.35))
    title = str(rng.choice(TITLES))
    picture = nameplate_picture(rng, title, (720, round(720 * h / w)))
    edge = steel(rng)
    casing = paint(rng, wear=0.3)
    spin = float(rng.normal(0, 0.03))
    curved = rng.random() < 0.4
    if curved:
        model.add(put(mesh.revolve([(-2.6, 1.8), (2.6, 1.8)], 72), (0, 0, -1.8), X), casing)
        model.add(put(mesh.revolve([(1.25, 1.83), (1.4, 1.83)], 72), (0, 0, -1.8), X), casing, 0.02)
    else:
        model.add(put(mesh.box(rng.uniform(2.3, 4), rng.uniform(1.7, 3), 0.2, 0.04), (0, 0, -0.19)), casing)
    model.add(put(mesh.extrude(mesh.rounded(w, h, 0.06), 0, 0.05, 0.01), (0, 0, 0.02), Z, spin), edge, 0.3)
    model.add(
        put(mesh.panel(w * 0.985, h * 0.985, 6), (0, 0, 0.072), Z, spin),
        Material(gloss=float(rng.uniform(0.3, 0.8)), metal=0.15, rust=float(rng.uniform(0, 0.22)), picture=picture),
        0.6,
    )
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (w / 2 - 0.07), sy * (h / 2 - 0.07)
            at = (x * np.cos(spin) - y * np.sin(spin), x * np.sin(spin) + y * np.cos(spin), 0.07)
            model.add(put(mesh.ball(0.04, 14, 0.5), at), edge, 0.8)
    return model


def fire_extinguisher(rng: np.random.Generator) -> Model:
    """A portable extinguisher on its bracket, with gauge, hose and label."""
    model = Model("fire_extinguisher", wall=-0.42)
    body = paint(rng, "red", "red", "red", "red", "cream", "silver", "yellow", wear=0.12)
    valve = Material((0.16, 0.16, 0.17), 0.4) if rng.random() < 0.6 else steel(rng)
    r, tall = rng.uniform(0.28, 0.42), rng.uniform(1.05, 1.45)
    low = -0.85
    dome = [(low, 0.0), (low, r * 0.9), (low + 0.06, r)] + [
        (low + tall + 0.75 * r * float(np.sin(a)), 0.07 + (r - 0.07) * float(np.cos(a)))
        for a in np.linspace(0, np.pi / 2, 9)
    ]
    model.add(put(mesh.revolve(dome, 44, smooth=True), (0, 0, 0), Y), body)
    top = low + tall + 0.75 * r
    model.add(put(mesh.cylinder(0.09, top - 0.02, top + 0.14, 0.01, 20), (0, 0, 0), Y), valve)
    for lift, tilt in ((0.14, 0.12), (0.26, rng.uniform(0.25, 0.4))):
        line = np.linspace((-0.08, top + lift, 0), (0.36, top + lift + tilt, 0), 6)
        model.add(mesh.sweep(line, 0.035, 8), valve)
    model.add(put(mesh.cylinder(0.075, 0.09, 0.13, 0.01, 20), (0, top + 0.06, 0), Z), steel(rng), 0.02)
    side = float(rng.choice([-1, 1]))
    if rng.random() < 0.8:
        _hose(model, rng, side, r, top)
    _label(model, rng, r, low, tall)
    for at in (low + tall * 0.2, low + tall * 0.92)[: int(rng.integers(0, 3))]:
        model.add(put(mesh.revolve([(at, r * 1.02), (at + 0.05, r * 1.02)], 44), (0, 0, 0), Y), steel(rng), 0.02)
    if rng.random() < 0.5:
        sign = Material(gloss=0.4, picture=warning(rng))
        model.add(put(mesh.panel(0.42, 0.42, 4), (-side * 0.75, top - 0.1, -0.41)), sign)
    return model


def _hose(model: Model, rng: np.random.Generator, side: float, r: float, top: float) -> None:
    """A hose and its nozzle, from the valve at height ``top`` down one ``side`` of a body of radius ``r``."""
    fall = rng.uniform(0.5, 1.0)
    hose = mesh.curve(
        [
            (side * 0.08, top + 0.08, 0.05),
            (side * 0.7, top + 0.2, 0.1),
            (side * (r + 0.25), top - 0.4, 0.1),
            (side * (r + 0.06), top - fall, 0.08),
            (side * (r + 0.04), top - fall - 0.3, 0.08),
        ],
        20,
    )
    model.add(mesh.sweep(hose, 0.04, 12), rubber())
    model.add(put(mesh.revolve([(0, 0.045), (0.22, 0.075), (0.22, 0)], 18), tuple(hose[-1]), DOWN), rubber(0.2))


def _label(model: Model, rng: np.random.Generator, r: float, low: float, tall: float) -> None:
    """A printed label about the front of a cylinder of radius ``r`` that stands at ``low`` and is ``tall``."""
    label = nameplate_picture(rng, str(rng.choice(["POWDER ABC", "FOAM", "CO2", "WATER"])), (300, 360))
    share = rng.uniform(0.28, 0.4)
    a, z = np.meshgrid(np.linspace(-share, share, 9) * np.pi, np.linspace(0, 1, 6))
    middle, high = low + tall * rng.uniform(0.45, 0.6), rng.uniform(0.45, 0.65)
    points = np.stack([(r + 0.006) * np.sin(a), middle + (0.5 - z) * high, (r + 0.006) * np.cos(a)], axis=-1)
    normals = np.stack([np.sin(a), np.zeros_like(a), np.cos(a)], axis=-1)
    model.add(
        mesh.patch(points, normals, np.stack([0.5 + a / (2 * share * np.pi), z], axis=-1)),
        Material(gloss=0.5, picture=label),
        0.03,
    )
