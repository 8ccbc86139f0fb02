"""Electric motors, centrifugal pumps, heat exchangers and fans: what stands on a floor or turns."""

from __future__ import annotations

import numpy as np

from plantdemo.drawing import mesh
from plantdemo.drawing.decals import nameplate
from plantdemo.drawing.kinds.fittings import X, Y, Z, bolts, flange, plate, put
from plantdemo.drawing.model import Material, Model
from plantdemo.drawing.paint import paint, rubber, steel, tag

LEFT = (-1.0, 0.0, 0.0)


def _motor(
    model: Model, rng: np.random.Generator, x: float, y: float, scale: float, body: Material, cowl: Material
) -> None:
    """A finned motor along x, its shaft towards +x at x + 0.62 · scale."""
    s = scale
    r, half = rng.uniform(0.40, 0.48) * s, rng.uniform(0.44, 0.56) * s
    fins = int(rng.choice([20, 26, 32, 40]))
    at = (x, y, 0.0)
    model.add(put(mesh.extrude(mesh.gear(fins, r * 0.90, r * rng.uniform(1.0, 1.06)), -half, half), at, X), body)
    shield = [(half, r * 1.03), (half + 0.06 * s, r * 1.03), (half + 0.12 * s, r * 0.72), (half + 0.12 * s, 0.08 * s)]
    model.add(put(mesh.revolve(shield, 36), at, X), body)
    model.add(put(bolts(4, r * 0.88, 0.035 * s, half + 0.06 * s, half + 0.1 * s), at, X), steel(rng))
    hood = [(-half, r * 1.06), (-half - 0.26 * s, r * 1.04), (-half - 0.32 * s, r * 0.86), (-half - 0.33 * s, 0)]
    model.add(put(mesh.revolve(hood, 36), at, X), cowl)
    model.add(put(mesh.cylinder(0.065 * s, half, half + 0.4 * s, 0.01, 18), at, X), steel(rng))
    high, shift = rng.uniform(0.16, 0.24) * s, rng.uniform(-0.15, 0.2) * s
    model.add(put(mesh.box(rng.uniform(0.34, 0.46) * s, 0.34 * s, high, 0.03), (x + shift, y + r * 0.93, 0), Y), body)
    model.add(put(mesh.box(0.36 * s, 0.30 * s, 0.03, 0.01), (x + shift, y + r * 0.93 + high, 0), Y), cowl)
    model.add(
        put(mesh.cylinder(0.06 * s, 0, 0.12 * s, 0.01, 14), (x + shift, y + r * 0.93 + high * 0.5, 0.18 * s)),
        rubber(0.2),
    )
    for side in (-0.7, 0.7):
        model.add(put(mesh.box(0.16 * s, r * 1.5, 0.07 * s), (x + side * half, y - r * 1.18, 0), Y), body)
        model.add(put(mesh.box(0.12 * s, r * 0.9, r * 0.6), (x + side * half, y - r * 1.15, 0), Y), body)
    if rng.random() < 0.8:
        face = Material(gloss=0.4, picture=nameplate(rng, "3~ MOTOR", (280, 190)))
        model.add(put(mesh.panel(0.32 * s, 0.21 * s, 4), (x - shift * 0.6, y + r * 0.2, r * 1.06)), face, 0.05)


def electric_motor(rng: np.random.Generator) -> Model:
    """A foot-mounted, fan-cooled motor with its terminal box."""
    model = Model("electric_motor", wall=-1.2, floor=-0.70)
    body = paint(rng, wear=0.22)
    cowl = body if rng.random() < 0.45 else paint(rng, wear=0.22)
    _motor(model, rng, 0.0, 0.0, 1.25, body, cowl)
    base = paint(rng, "grey", "black", "yellow", "green", "brown", wear=0.35)
    model.add(put(mesh.box(1.6, 1.0, 0.13, 0.01), (0, -0.76, 0), Y), base)
    if rng.random() < 0.4:
        model.add(put(mesh.torus(0.09, 0.022, 24, 8), (0.12, 0.62, 0)), steel(rng))
    return model


def centrifugal_pump(rng: np.random.Generator) -> Model:
    """A pump with its volute, suction and discharge flanges, coupling guard and driving motor on one frame."""
    model = Model("centrifugal_pump", wall=-1.2, floor=-0.78)
    body, drive = paint(rng, wear=0.25), paint(rng, wear=0.2)
    guard = paint(rng, "yellow", "orange", "red", "yellow", "silver", wear=0.1)
    bolt = steel(rng, 0.1)
    base = body if rng.random() < 0.4 else paint(rng, "grey", "black", "green", "blue", wear=0.3)
    _motor(model, rng, -0.72, -0.1, rng.uniform(0.8, 0.95), drive, drive)
    model.add(put(mesh.revolve([(-0.3, 0.2), (0.2, 0.2)], 28), (-0.02, -0.1, 0), X), guard)
    model.add(put(mesh.box(0.44, 0.42, 0.36), (-0.02, -0.56, 0), Y), guard)
    r, wide = rng.uniform(0.36, 0.46), rng.uniform(0.12, 0.18)
    at = (0.52, -0.1, 0.0)
    rim = [(-wide, r * 0.85), (-wide * 0.7, r), (wide * 0.7, r), (wide, r * 0.85)]
    volute = [(-0.34, 0.12), (-0.2, 0.22), *rim, (wide * 1.5, r * 0.45), (wide * 1.6 + 0.1, r * 0.4)]
    model.add(put(mesh.revolve(volute, 40, smooth=True), at, X), body)
    model.add(put(bolts(10, r * 0.9, 0.03, -wide - 0.05, wide + 0.03), at, X), bolt)
    flange(model, (0.52 + wide * 1.6 + 0.1, -0.1, 0), X, r * 0.72, 0.07, 8, body, bolt)
    pipe = paint(rng, "grey", "silver", "cream", "green", wear=0.3)
    out = 0.52 + wide * 1.6 + 0.17
    flange(model, (out, -0.1, 0), X, r * 0.72, 0.07, 8, pipe, bolt)
    model.add(put(mesh.pipe(r * 0.42, 0, 4.0), (out, -0.1, 0), X), pipe)
    tall = rng.uniform(0.42, 0.62)
    shift = 0.0 if rng.random() < 0.5 else r * 0.6
    model.add(put(mesh.revolve([(0, r * 0.32), (tall, r * 0.36)], 28), (0.52, -0.1, shift), Y), body)
    flange(model, (0.52, -0.1 + tall, shift), Y, r * 0.62, 0.06, 6, body, bolt)
    flange(model, (0.52, -0.1 + tall + 0.07, shift), Y, r * 0.62, 0.06, 6, pipe, bolt)
    model.add(put(mesh.pipe(r * 0.35, 0, 3.0), (0.52, tall, shift), Y), pipe)
    model.add(put(mesh.box(0.22, 0.5, 0.34), (0.52, -0.62, 0), Y), body)
    model.add(put(mesh.box(2.2, 0.78, 0.16, 0.01), (-0.1, -0.78, 0), Y), base)
    plate(model, tag(rng, "P"), rng, (rng.uniform(-0.9, 0.3), -0.70, 0.40), 0.34)
    return model


def heat_exchanger(rng: np.random.Generator) -> Model:
    """A shell-and-tube exchanger on two saddles, nozzles up and down."""
    model = Model("heat_exchanger", wall=-1.1, floor=-0.75)
    shell, ends = paint(rng, wear=0.3), paint(rng, wear=0.3)
    if rng.random() < 0.4:
        shell = steel(rng, 0.05)
    bolt = steel(rng, 0.15)
    r, half = rng.uniform(0.30, 0.42), rng.uniform(0.72, 0.95)
    model.add(put(mesh.cylinder(r, -half, half, segments=44), (0, 0, 0), X), shell)
    for side in (-1.0, 1.0):
        axis = (side, 0.0, 0.0)
        flange(model, (side * half, 0, 0), axis, r * 1.25, 0.07, int(rng.choice([10, 12, 16])), shell, bolt)
        flange(model, (side * (half + 0.08), 0, 0), axis, r * 1.25, 0.06, 12, ends, bolt)
        long = 0.14 if side > 0 else rng.uniform(0.14, 0.4)
        dome = [(0.0, r)] + [
            (long + 0.6 * r * float(np.sin(a)), r * float(np.cos(a))) for a in np.linspace(0, np.pi / 2, 9)
        ]
        model.add(put(mesh.revolve(dome, 40, smooth=True), (side * (half + 0.13), 0, 0), axis), ends)
    for i, x in enumerate(rng.permutation([-0.62, -0.3, 0.3, 0.62])[: int(rng.integers(2, 5))]):
        way = (0.0, 1.0, 0.0) if i % 2 == 0 else (0.0, rng.choice([-1.0, 1.0]), 0.55)
        wide = rng.uniform(0.09, 0.14)
        model.add(put(mesh.cylinder(wide, 0, r + 0.26), (x * half, 0, 0), way), shell)
        unit = np.asarray(way) / np.linalg.norm(way)
        flange(model, tuple(unit * (r + 0.2) + (x * half, 0, 0)), way, wide * 1.8, 0.05, 6, ends, bolt)
    bands = int(rng.integers(0, 5))
    for x in np.linspace(-0.8, 0.8, bands) * half:
        model.add(put(mesh.revolve([(x, r * 1.015), (x + 0.05, r * 1.015)], 44), (0, 0, 0), X), ends, 0.01)
    saddle = paint(rng, "grey", "black", "brown", "blue", wear=0.3)
    for x in (-0.55 * half, 0.55 * half):
        model.add(put(mesh.box(0.12, r * 1.5, 0.75 - r * 0.5), (x, -0.75, 0), Y), saddle)
        model.add(put(mesh.box(0.24, r * 2.1, 0.05), (x, -0.75, 0), Y), saddle)
    plate(model, tag(rng, "E"), rng, (rng.uniform(-0.4, 0.4), rng.uniform(-0.05, 0.12), r + 0.02), 0.34)
    return model


def fan(rng: np.random.Generator) -> Model:
    """An axial fan in a square frame behind its wire guard."""
    model = Model("fan", wall=-0.35)
    frame, blades = paint(rng, wear=0.25), paint(rng, "black", "grey", "silver", "yellow", "blue", wear=0.1)
    wire = steel(rng) if rng.random() < 0.6 else paint(rng, "black", "yellow", "red", wear=0.1)
    r = rng.uniform(0.72, 0.82)
    dark = Material((0.10, 0.10, 0.11), gloss=0.05)
    square = mesh.rounded(1.9, 1.9, float(rng.uniform(0.02, 0.3)))
    model.add(put(mesh.extrude(square, -0.3, -0.12, 0.02), (0, 0, 0)), frame)
    model.add(put(mesh.cylinder(r, -0.13, -0.11, segments=48), (0, 0, 0)), dark, 0.02)
    model.add(
        put(mesh.revolve([(-0.12, r * 1.0), (0.0, r * 1.03), (0.0, r * 1.1), (-0.12, r * 1.14)], 48), (0, 0, 0)),
        frame,
        0.03,
    )
    start = _blades(model, rng, r, blades)
    model.add(put(mesh.revolve([(-0.1, 0.2), (0.02, 0.2), (0.06, 0.14), (0.06, 0)], 28), (0, 0, 0)), blades, 0.09)
    _guard(model, rng, r, start, wire)
    corners = [(x, y, 0) for x in (-0.82, 0.82) for y in (-0.82, 0.82)]
    screws = mesh.joined([mesh.moved(mesh.cylinder(0.04, -0.12, -0.09, 0.01, 10), corner) for corner in corners])
    model.add(screws, steel(rng, 0.2), 0.02)
    if rng.random() < 0.6:
        plate(model, tag(rng, "FN"), rng, (rng.choice([-0.6, 0.6]), -0.87, -0.11), 0.4, Z)
    return model


def _blades(model: Model, rng: np.random.Generator, r: float, blades: Material) -> float:
    """A fan's blades within radius ``r``; returns the angle of the first, in radians."""
    count, pitch = int(rng.integers(3, 8)), rng.uniform(0.35, 0.65)
    start, width = rng.uniform(0, np.pi), rng.uniform(0.55, 0.95) * np.pi / count
    for i in range(count):
        radius, turn = np.meshgrid(np.linspace(0.15, r * 0.92, 5), np.linspace(-width, width, 7), indexing="ij")
        a = start + 2 * np.pi * i / count + turn * (0.75 + 0.25 * radius / r)
        points = np.stack([radius * np.cos(a), radius * np.sin(a), -0.06 + 0.12 * pitch * turn / width], axis=-1)
        normal = np.stack([pitch * np.sin(a), -pitch * np.cos(a), np.ones_like(a)], axis=-1)
        model.add(mesh.patch(points, normal / np.sqrt(1 + pitch**2), points[..., :2]), blades, 0.05)
    return float(start)


def _guard(model: Model, rng: np.random.Generator, r: float, start: float, wire: Material) -> None:
    """A fan's wire guard: rings, spokes from the angle ``start``, and the cap in the middle."""
    rings = int(rng.integers(4, 9))
    for ring in np.linspace(0.22, r * 1.04, rings):
        model.add(put(mesh.torus(float(ring), 0.011, 40, 6), (0, 0, 0.12)), wire, 0.1)
    spokes = int(rng.choice([3, 4, 6]))
    for i in range(spokes):
        at = start + 2 * np.pi * i / spokes
        inner, outer = ((q * r * np.cos(at), q * r * np.sin(at), 0.13) for q in (0.13, 1.06))
        line = np.linspace(inner, outer, 6)
        model.add(mesh.sweep(line, 0.014, 6), wire, 0.11)
    model.add(put(mesh.cylinder(0.13, 0.11, 0.14, 0.01, 24), (0, 0, 0)), wire, 0.12)
