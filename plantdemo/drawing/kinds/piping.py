"""Gate valves, flange joints and pressure gauges: what sits in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plantdemo.drawing import mesh
from plantdemo.drawing.decals import dial
from plantdemo.drawing.kinds.fittings import X, Y, Z, bolts, flange, plate, put
from plantdemo.drawing.model import Material, Model
from plantdemo.drawing.paint import brass, paint, rubber, steel, tag


def gate_valve(rng: np.random.Generator) -> Model:
    """A flanged gate valve in a level pipe, its handwheel on a rising stem."""
    model = Model("gate_valve", wall=-0.65)
    body, wheel = paint(rng), paint(rng, "red", "blue", "black", "yellow", "green", "grey", wear=0.15)
    pipe = paint(rng, "grey", "silver", "cream", "green", "brown", wear=0.3)
    bolt, stem = steel(rng, 0.12), steel(rng)
    r, reach, rf = rng.uniform(0.17, 0.25), rng.uniform(0.34, 0.5), rng.uniform(0.34, 0.44)
    count = int(rng.choice([4, 6, 8]))
    for z0, z1 in ((-4.8, -reach), (reach, 4.8)):
        model.add(put(mesh.pipe(r, z0, z1), (0, -0.3, 0), X), pipe)
    half = [(reach, r * 1.1), (reach * 0.5, r * 1.15), (0.12, r * 1.5)]
    shell = [(-x, radius) for x, radius in half] + half[::-1]
    model.add(put(mesh.revolve(shell, 36, smooth=True), (0, -0.3, 0), X), body)
    for side in (-1, 1):
        flange(model, (side * reach - 0.045, -0.3, 0), X, rf, 0.09, count, body, bolt)
        flange(model, (side * (reach + 0.10) - 0.045, -0.3, 0), X, rf, 0.085, count, pipe, bolt)
    hub = (0, _bonnet(model, rng, count, (body, bolt, stem)), 0)
    _handwheel(model, rng, hub, wheel)
    plate(model, tag(rng, "HV"), rng, (rng.uniform(-0.1, 0.1), -0.3 - rng.uniform(0.0, 0.1), r * 1.5 + 0.12), 0.36)
    return model


def _bonnet(model: Model, rng: np.random.Generator, count: int, made_of: tuple[Material, Material, Material]) -> float:
    """A valve's bonnet of (body, bolts, stem) with its yoke; returns the height of the handwheel's hub."""
    body, bolt, stem = made_of
    neck = rng.uniform(0.24, 0.32)
    model.add(
        put(
            mesh.revolve([(-0.55, 0.05), (-0.4, neck * 0.9), (-0.15, neck), (0.12, neck * 0.85)], 32, smooth=True),
            (0, 0, 0),
            Y,
        ),
        body,
    )
    model.add(put(mesh.cylinder(neck * 1.25, 0.10, 0.18, 0.015), (0, 0, 0), Y), body)
    model.add(put(bolts(count, neck * 1.06, 0.035, 0.18, 0.23), (0, 0, 0), Y), bolt)
    tall = rng.uniform(0.40, 0.62)
    if rng.random() < 0.5:
        for side in (-1, 1):
            model.add(put(mesh.box(0.05, 0.09, tall - 0.16), (side * neck * 0.55, 0.18, 0), Y), body)
    else:
        model.add(
            put(
                mesh.revolve([(0.18, neck * 0.75), (0.32, neck * 0.36), (tall, neck * 0.3)], 24, smooth=True),
                (0, 0, 0),
                Y,
            ),
            body,
        )
    model.add(put(mesh.cylinder(neck * 0.62, tall, tall + 0.07, 0.015), (0, 0, 0), Y), body)
    top = tall + 0.12
    model.add(put(mesh.cylinder(0.035, 0.18, top + rng.uniform(0.04, 0.4)), (0, 0, 0), Y), stem)
    return float(top)


def _handwheel(model: Model, rng: np.random.Generator, hub: Sequence[float], wheel: Material) -> None:
    size = rng.uniform(0.34, 0.56)
    tilt = (0.0, 1.0, rng.uniform(0.25, 0.9))
    spokes, thick = int(rng.integers(3, 7)), rng.uniform(0.025, 0.045)
    model.add(put(mesh.torus(size, thick), hub, tilt), wheel)
    model.add(put(mesh.cylinder(0.085, -0.05, 0.05, 0.01, 20), hub, tilt), wheel)
    for i in range(spokes):
        a = 2 * np.pi * i / spokes
        line = np.linspace((0, 0, 0), (size * np.cos(a), size * np.sin(a), 0), 5)
        model.add(put(mesh.sweep(line, thick * 0.72, 8), hub, tilt), wheel)


def flange_joint(rng: np.random.Generator) -> Model:
    """Two flanges bolted about a gasket in a long pipe, at any angle."""
    model = Model("flange_joint", wall=-0.75)
    pipe, plates = paint(rng, wear=0.4), paint(rng, wear=0.4)
    if rng.random() < 0.5:
        plates = pipe
    bolt = steel(rng, float(rng.uniform(0, 0.4)))
    gasket = Material(
        [(0.72, 0.24, 0.16), (0.15, 0.15, 0.16), (0.25, 0.45, 0.35), (0.9, 0.9, 0.86)][int(rng.integers(4))], gloss=0.1
    )
    angle = float(rng.choice([0.0, 0.0, np.pi / 2, rng.uniform(-0.6, 0.6)]))
    axis = (float(np.cos(angle)), float(np.sin(angle)), 0.12)
    r, rf, thick = rng.uniform(0.26, 0.46), rng.uniform(0.58, 0.78), rng.uniform(0.1, 0.17)
    count = int(rng.choice([4, 6, 8, 12, 16]))
    for z0, z1 in ((-4.8, -thick), (thick, 4.8)):
        model.add(put(mesh.pipe(r, z0, z1, 40), (0, 0, 0), axis), pipe)
    gap = rng.uniform(0.02, 0.05)
    model.add(put(mesh.cylinder(rf * 0.78, -gap, gap), (0, 0, 0), axis), gasket)
    size = min(rf * 0.11, rf * 1.5 / count)
    model.add(put(bolts(count, rf * 0.84, size * 0.5, -thick - 0.14, thick + 0.14), (0, 0, 0), axis), bolt)
    model.add(put(bolts(count, rf * 0.84, size, -thick - gap - size, thick + gap + size), (0, 0, 0), axis), bolt)
    for sign in (-1, 1):
        ring = mesh.cylinder(rf, gap if sign > 0 else -gap - thick, gap + thick if sign > 0 else -gap, 0.015, 44)
        model.add(put(ring, (0, 0, 0), axis), plates)
        hub = mesh.revolve([(sign * (gap + thick), r * 1.4), (sign * (gap + thick + 0.22), r * 1.02)], 40)
        model.add(put(hub, (0, 0, 0), axis), plates)
    if rng.random() < 0.6:
        at = np.asarray(axis) * rng.choice([-1, 1]) * rng.uniform(0.7, 0.95) + (0, 0, r + 0.03)
        plate(model, tag(rng, "L"), rng, at, 0.5)
    if rng.random() < 0.5:
        band = paint(rng, "yellow", "blue", "green", "red", "orange", wear=0.1)
        where = float(rng.choice([-1, 1])) * rng.uniform(0.62, 1.1)
        model.add(
            put(mesh.revolve([(where, r * 1.012), (where + rng.uniform(0.1, 0.3), r * 1.012)], 40), (0, 0, 0), axis),
            band,
            0.02,
        )
    return model


def pressure_gauge(rng: np.random.Generator) -> Model:
    """A Bourdon gauge on a short stem with its cock, facing the viewer."""
    model = Model("pressure_gauge", wall=-0.45)
    case = steel(rng) if rng.random() < 0.55 else paint(rng, "black", "grey", "blue", "green", "red", wear=0.1)
    bezel = case if rng.random() < 0.4 else (steel(rng) if rng.random() < 0.7 else brass(rng))
    fitting = brass(rng) if rng.random() < 0.6 else steel(rng, 0.15)
    r, deep = rng.uniform(0.62, 0.82), rng.uniform(0.16, 0.3)
    face = Material(gloss=0.75, picture=dial(rng))
    rim = rng.uniform(0.05, 0.1)
    y = 0.25
    model.add(
        put(mesh.revolve([(-deep, 0), (-deep, r * 0.85), (-deep * 0.7, r * 0.97), (0.02, r * 0.97)], 48), (0, y, 0)),
        case,
    )
    ring = [(-0.02, r * 0.97), (-0.02, r * 1.04), (0.05, r * 1.04), (0.07, r * 1.0), (0.07, r - rim)]
    model.add(put(mesh.revolve([*ring, (0.02, r - rim * 1.2)], 56), (0, y, 0)), bezel, 0.01)
    model.add(put(mesh.disc(r - rim * 1.1), (0, y, 0.022)), face)
    foot = y - r
    back = -deep * 0.45
    model.add(put(mesh.extrude(mesh.polygon(6, 0.13), foot - 0.22, foot - 0.04), (0, 0, back), Y), fitting)
    model.add(put(mesh.cylinder(0.085, -1.6, foot + 0.05), (0, 0, back), Y), fitting)
    model.add(put(mesh.extrude(mesh.polygon(6, 0.15), foot - 0.52, foot - 0.38), (0, 0, back), Y), fitting)
    if rng.random() < 0.7:
        _cock(model, rng, (0, foot - 0.62, back), fitting)
    plumb = paint(rng, "grey", "silver", "brown", "green", wear=0.4)
    model.add(put(mesh.pipe(0.2, -4.8, 4.8), (0, -1.35, back), X), plumb)
    model.add(put(mesh.cylinder(0.13, -1.25, foot - 0.7, 0.01), (0, 0, back), Y), plumb)
    if rng.random() < 0.6:
        plate(model, tag(rng, "PI"), rng, (rng.uniform(-0.1, 0.1), foot - 0.28, back + 0.2), 0.42)
    elif rng.random() < 0.5:
        model.add(put(mesh.ball(0.05, 14), (0, y + r + 0.03, -deep * 0.4)), rubber())
    return model


def _cock(model: Model, rng: np.random.Generator, at: tuple[float, float, float], fitting: Material) -> None:
    """A gauge's stop cock, with a lever or a round knob."""
    lever = paint(rng, "red", "blue", "yellow", "black", wear=0.1)
    model.add(put(mesh.cylinder(0.14, -0.12, 0.12, 0.02), at, X), fitting)
    if rng.random() < 0.5:
        model.add(put(mesh.box(0.09, 0.5, 0.03, 0.005), (0.2, at[1], at[2] + 0.18), Z, np.pi / 2), lever)
    else:
        model.add(put(mesh.cylinder(0.17, 0.15, 0.21, 0.02, 18), at, Z), lever)
