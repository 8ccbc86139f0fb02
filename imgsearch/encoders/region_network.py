"""The network at work, for whole images and their regions: the whole says where to look again, and at what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.encoder import Encoder
from imgsearch.encoders.graph_ends import PREFIX
from imgsearch.encoders.regions import (
    N_REGIONS,
    WINDOW,
    Boxes,
    Maps,
    Regions,
    cut_tiles,
    interest,
    or_whole,
    select,
    windows,
)
from imgsearch.encoders.runtime import BATCH, Pixels, onnx_session
from imgsearch.encoders.side_by_side import resized, unpack_graphs
from imgsearch.vectors import Matrix, unit

MAPS = f"{PREFIX}maps"
#: Side of a tile's pixels, as a share of that of the network's input, and what it is a multiple of.
TILE, STEP = 4 / 7, 32


def tile_size(shown: Preprocessing) -> tuple[int, int]:
    """(height, width) at which a network sees a tile: a third of its pixels, in steps that networks divide by.

    >>> tile_size(Preprocessing(224, 224, "bicubic", "squash", None, (0, 0, 0), (1, 1, 1)))
    (128, 128)
    """
    sides = [round(side * TILE / STEP) * STEP for side in (shown.height, shown.width)]
    return (sides[0], sides[1]) if min(sides) >= STEP else (shown.height, shown.width)


class RegionNetwork:
    """What ``embed --regions`` runs. Called, it is a ``Runtime``: the whole images alone."""

    def __init__(
        self, graph: bytes, encoder: Encoder, n_threads: int, n_regions: int = N_REGIONS, boxes: Boxes | None = None
    ) -> None:
        """``graph``: of ``feature_maps.graph_with_maps``; ``boxes``: (r, 4), of which ``n_regions`` are selected.

        Raises ``UserError`` where the runtime does not take the graph.
        """
        parts = encoder.parts or (encoder,)
        graphs = unpack_graphs(graph) if encoder.parts else [graph]
        self._parts = [MapNetwork(own, part, n_threads) for own, part in zip(graphs, parts, strict=True)]
        self._boxes = windows() if boxes is None else boxes
        self._shape = n_regions, encoder.dim
        height, width = (max(part.tile[axis] for part in self._parts) for axis in (0, 1))
        self.detail = round(height / WINDOW), round(width / WINDOW)
        """(height, width) of the pixels that tiles are cut from."""

    def __call__(self, pixels: Pixels) -> Matrix:
        """(n, dim) float32, unit rows."""
        return self._joined([part.run(self._sized(part, pixels))[0] for part in self._parts])

    def no_regions(self, n: int) -> Regions:
        """The regions of ``n`` images that are no use: zeros."""
        n_regions, dim = self._shape
        return Regions(np.zeros((n, n_regions, 4), np.float32), np.zeros((n, n_regions, dim), np.float32))

    def with_regions(self, pixels: Pixels, details: Pixels) -> tuple[Matrix, Regions]:
        """``pixels`` uint8 (n, height, width, 3), ``details`` uint8 (n, *detail, 3), the same views larger, any n →
        (n, dim) unit rows, and regions whose boxes are shares of these pixels.

        Raises ``ValueError`` for pixels of another shape or dtype.
        """
        starts = range(0, max(1, len(pixels)), BATCH)
        answers = [self._batch(pixels[s : s + BATCH], details[s : s + BATCH]) for s in starts]
        rows, regions = zip(*answers, strict=True)
        return np.concatenate(rows), Regions(*(np.concatenate(each) for each in zip(*regions, strict=True)))

    def _batch(self, pixels: Pixels, details: Pixels) -> tuple[Matrix, Regions]:
        runs = [part.run(self._sized(part, pixels)) for part in self._parts]
        whole = self._joined([rows for rows, _ in runs])
        maps = zip(runs, self._parts, strict=True)
        interests = sum(interest(each, self._boxes, part.encoder.pooling) for (_, each), part in maps)
        boxes = self._boxes[select(np.asarray(interests), self._shape[0])]
        tiles = cut_tiles(details, boxes)
        embeddings = self._joined([part.run(resized(tiles, *part.tile))[0] for part in self._parts])
        return whole, or_whole(whole, Regions(boxes, embeddings.reshape(len(pixels), -1, self._shape[1])))

    def _sized(self, part: MapNetwork, pixels: Pixels) -> Pixels:
        shown = part.encoder.preprocessing
        return resized(pixels, shown.height, shown.width) if len(self._parts) > 1 else pixels

    def _joined(self, rows: list[Matrix]) -> Matrix:
        """The parts' rows side by side, as ``side_by_side``."""
        if len(rows) == 1:
            return rows[0]
        return np.concatenate([unit(each) for each in rows], axis=1) * np.float32(1 / np.sqrt(len(rows)))


class MapNetwork:
    """One network with the output ``MAPS``. ``tile``: (height, width) at which it sees tiles; its own where its graph
    takes no other."""

    def __init__(self, graph: bytes, encoder: Encoder, n_threads: int) -> None:
        """Raises ``UserError`` where ONNX Runtime does not take the graph."""
        self.encoder, shown = encoder, encoder.preprocessing
        session = onnx_session(graph, encoder, n_threads)
        image = session.get_inputs()[0]
        batch, height, _, _ = image.shape
        self.tile = (shown.height, shown.width) if isinstance(height, int) else tile_size(shown)
        fixed = batch if isinstance(batch, int) else None
        self._run = _runner(session, session.get_outputs()[0].name, image.name, fixed)

    def run(self, pixels: Pixels) -> tuple[Matrix, Maps]:
        """Pixels of the network's size or of tiles, any n → (n, dim) unit rows and (n, c, h, w) maps, float32.

        Raises ``ValueError`` for others.
        """
        shown = self.encoder.preprocessing
        if pixels.shape[1:3] not in ((shown.height, shown.width), self.tile) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; this encoder takes uint8 (n, *{self.tile}, 3)")
        return self._run(pixels)


def _runner(session: Any, output: str, image: str, fixed: int | None) -> Callable[[Pixels], tuple[Matrix, Maps]]:
    """``session`` over any number of images; a graph of one batch size gets zeros for those that are missing."""

    def run(pixels: Pixels) -> tuple[Matrix, Maps]:
        step, answers = fixed or max(1, len(pixels)), []
        for start in range(0, max(1, len(pixels)), step):
            part = np.ascontiguousarray(pixels[start : start + step])
            missing = step - len(part) if fixed else 0
            if missing:
                empty: NDArray[np.uint8] = np.zeros((missing, *pixels.shape[1:]), np.uint8)
                part = np.concatenate([part, empty])
            answers.append([each[: len(part) - missing] for each in session.run([output, MAPS], {image: part})])
        rows, maps = (np.concatenate(each) for each in zip(*answers, strict=True))
        return rows, maps

    return run
