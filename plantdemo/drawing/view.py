"""Where the phone is: a pinhole camera, and the homography of a plane seen through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """``rotation``: (3, 3) rows right, down, ahead; ``eye``: (3,); ``focal`` and ``centre`` in pixels."""

    eye: Array
    rotation: Array
    focal: float
    centre: tuple[float, float]

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(..., 3) points → (..., 2) pixels and (...) depth along the line of sight."""
        seen = (points - self.eye.astype(np.float32)) @ self.rotation.T.astype(np.float32)
        depth = np.maximum(seen[..., 2], 0.05)
        return seen[..., :2] * (self.focal / depth)[..., None] + np.asarray(self.centre, np.float32), depth

    def zoomed(self, factor: float, left: float, top: float) -> View:
        """The same view with pixels ``factor`` times smaller, its origin at (left, top) of this one."""
        centre = ((self.centre[0] - left) * factor, (self.centre[1] - top) * factor)
        return View(self.eye, self.rotation, self.focal * factor, centre)

    def plane(self, origin: Array, across: Array, along: Array) -> Array:
        """(3, 3) homography that takes (a, b, 1), the point origin + a·across + b·along, to pixels."""
        camera = np.diag([self.focal, self.focal, 1.0])
        camera[:2, 2] = self.centre
        return camera @ self.rotation @ np.stack([across, along, origin - self.eye], axis=1)


def look(
    target: Array,
    distance: float,
    azimuth: float,
    elevation: float,
    roll: float,
    focal: float,
    centre: tuple[float, float],
) -> View:
    """A view of ``target`` from ``distance``, angles in radians: 0 is straight from the front."""
    back = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.cross((0.0, 1.0, 0.0), back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * up, -(c * up - s * right), -back])
    return View(target + distance * back, rotation, focal, centre)
