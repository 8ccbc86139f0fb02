"""Colours stay apart for every kind of eye, and clusters with one mark stay apart on the map."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from imgsearch.report import palette
from imgsearch.report.palette import Mark, assign_marks

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
          [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
TO_LAB = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
          [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip


def linear(colour: str) -> np.ndarray:
    s = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    return np.array(TO_LAB) @ np.cbrt(np.array(TO_LMS) @ np.clip(rgb, 0, 1))


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_any_two_colours_are_apart(colours: tuple[str, ...], vision: str) -> None:
    seen = [oklab(np.array(VISION[vision]) @ linear(colour)) for colour in colours]
    assert min(math.dist(a, b) for a, b in combinations(seen, 2)) > 0.12


@pytest.mark.parametrize(("colours", "page"), [(palette.LIGHT, palette.LIGHT_PAGE), (palette.DARK, palette.DARK_PAGE)])
def test_colours_stand_out_from_the_page(colours: tuple[str, ...], page: str) -> None:
    for colour in colours:
        dark, light = sorted([luminance(colour), luminance(page)])
        assert (light + 0.05) / (dark + 0.05) > 2.3


def test_marks_are_distinct_as_long_as_there_are_any() -> None:
    ids = list(range(100, 132))
    marks = assign_marks(ids, {i: (float(i * 37 % 11), float(i * 17 % 13)) for i in ids})
    assert len(set(marks.values())) == 32
    assert [marks[i].shape for i in ids] == [n // 8 for n in range(32)]


def test_a_colour_comes_back_far_from_where_it_was() -> None:
    corners = {i: (float(100 * (i % 4)), float(100 * (i // 4))) for i in range(8)}
    marks = assign_marks([*range(8), 8], corners | {8: (0.0, 0.0)})
    assert marks[8] == Mark(marks[7].colour, 1)


def test_clusters_that_are_not_on_the_map_get_marks_too() -> None:
    assert len(set(assign_marks([5, 6, 7], {}).values())) == 3


@pytest.mark.parametrize("shape", range(4))
def test_outlines_are_closed_path_data(shape: int) -> None:
    path = palette.outline(shape, 10.0, 20.0, 4.0)
    assert path.startswith("M")
    assert path.endswith("z")
