"""The kinds of equipment: each is a function from a random generator to one individual, a ``Model``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plantdemo.drawing.kinds.cabinets import fire_extinguisher, junction_box, nameplate
from plantdemo.drawing.kinds.machines import centrifugal_pump, electric_motor, fan, heat_exchanger
from plantdemo.drawing.kinds.piping import flange_joint, gate_valve, pressure_gauge
from plantdemo.drawing.model import Model

KINDS: dict[str, Callable[[np.random.Generator], Model]] = {
    "gate_valve": gate_valve,
    "pressure_gauge": pressure_gauge,
    "centrifugal_pump": centrifugal_pump,
    "electric_motor": electric_motor,
    "flange_joint": flange_joint,
    "heat_exchanger": heat_exchanger,
    "junction_box": junction_box,
    "nameplate": nameplate,
    "fan": fan,
    "fire_extinguisher": fire_extinguisher,
}
