"""An item as a solid thing: its faces, what they are made of, and how it stands in the plant."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plantdemo.drawing.mesh import Mesh

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """``colour`` 0..1 RGB; ``gloss``, ``metal`` and ``rust`` 0..1; ``picture`` (h, w, 3) uint8 replaces the colour."""

    colour: Colour = (0.6, 0.6, 0.6)
    gloss: float = 0.35
    metal: float = 0.0
    rust: float = 0.0
    picture: NDArray[np.uint8] | None = None


@dataclass
class Model:
    """Faces with materials. ``floor`` is the height it stands on (None: it hangs there), ``wall`` the wall's z."""

    kind: str
    wall: float = 0.0
    floor: float | None = None
    materials: list[Material] = field(default_factory=list)
    meshes: list[Mesh] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    lifts: list[float] = field(default_factory=list)

    def add(self, mesh: Mesh, material: Material, lift: float = 0.0) -> None:
        """Add faces; those with a greater ``lift`` are drawn as if that much nearer to the viewer."""
        index = next((i for i, other in enumerate(self.materials) if other is material), len(self.materials))
        if index == len(self.materials):
            self.materials.append(material)
        self.meshes.append(mesh)
        self.owners.append(index)
        self.lifts.append(lift)
