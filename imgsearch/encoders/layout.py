"""Where a picture is light and dark, as a vector: finds copies that a network no longer knows, in the same frame.

A strong compression, a watermark or a reduction changes the texture, on which a network's embedding rests, and leaves
the layout. A turned picture's layout is the turned layout, so its views cost no network.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgsearch.vectors import Matrix, unit

#: Cells of a side.
SIDE = 16
#: Grey levels within which the line at an edge of a picture is a border; share of a side that has to be border.
PLAIN, LEAST = 16, 0.03
_MIRRORED = "mirrored "


def layouts(pixels: NDArray[np.uint8], ways: Iterable[str]) -> dict[str, Matrix]:
    """View → (SIDE²,) float32, unit length (zeros for a picture of one grey level).

    ``pixels``: (height, width, 3) uint8, squashed or not. "as it is" always; ``flip``: mirrored; ``rotate``: turned by
    quarters, and with ``flip`` mirrored ones too; ``crop``: without a plain border, where there is one.
    """
    chosen = set(ways)
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    cells = _cells(grey)
    views = {"as it is": cells}
    if "flip" in chosen:
        views["mirror"] = cells[:, ::-1]
    if "rotate" in chosen:
        for name, picture in list(views.items()):
            mirrored = _MIRRORED if name == "mirror" else ""
            views |= {f"{mirrored}turn{90 * turns}": np.rot90(picture, turns) for turns in (1, 2, 3)}
    if "crop" in chosen and (inner := trimmed(grey)) is not None:
        views["trimmed"] = _cells(inner)
    return {name: unit(np.ascontiguousarray(view).reshape(1, -1))[0] for name, view in views.items()}


def _cells(grey: NDArray[np.uint8]) -> Matrix:
    """(SIDE, SIDE): mean grey levels, less their mean."""
    small = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    return small - small.mean()


def trimmed(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """(h, w) grey levels without plain lines at the edges; ``None`` where there are hardly any, or nothing else."""
    rows, columns = (np.flatnonzero(np.ptp(grey, axis=axis) > PLAIN) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return None
    inner = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lost = [1 - kept / whole for kept, whole in zip(inner.shape, grey.shape, strict=True)]
    return inner if max(lost) >= LEAST and min(inner.shape) >= SIDE else None
