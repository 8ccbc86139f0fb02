"""Colours of the map by any column: its commonest values, or ranges of a number. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from imgsearch.report.metadata import text_of
from imgsearch.terminal import is_missing

MAX_VALUES = 8  # colours that people tell apart
RANGES = 6
FEW_NUMBERS = 8  # a number with no more values than this is a name


class Colouring(NamedTuple):
    """``values``: what the colours mean; ``codes``: the value of each point, ``len(values)`` for others and for none.

    ``counts``: points of each value. ``is_ranges``: the values are ranges, low to high.
    """

    column: str
    values: list[str]
    counts: list[int]
    codes: list[int]
    is_ranges: bool


def colouring(column: str, values: Sequence[Any]) -> Colouring | None:
    """Colours for points with these ``values``; ``None`` where they tell nothing apart."""
    present = [value for value in values if not is_missing(value)]
    if len(set(map(text_of, present))) < 2:
        return None
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in present):
        numbers = np.array([np.nan if is_missing(v) else float(v) for v in values])
        if len(np.unique(numbers[np.isfinite(numbers)])) > FEW_NUMBERS:
            return _ranges(column, numbers)
    texts = [None if is_missing(value) else text_of(value) for value in values]
    counts = Counter(text for text in texts if text is not None)
    if len(counts) > MAX_VALUES and counts.most_common(1)[0][1] < 2:
        return None  # another value for each
    common = [value for value, _ in counts.most_common(MAX_VALUES)]
    code = {value: i for i, value in enumerate(common)}
    codes = [len(common) if text is None else code.get(text, len(common)) for text in texts]
    return Colouring(column, common, [counts[value] for value in common], codes, False)


def _ranges(column: str, numbers: np.ndarray) -> Colouring:
    """``RANGES`` of about as many points each; equal numbers are in one range."""
    finite = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[finite], np.linspace(0, 1, RANGES + 1)))
    codes = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:.3g} – {high:.3g}" for low, high in pairwise(edges)]
    codes[~finite] = len(names)
    counts = np.bincount(codes, minlength=len(names) + 1)[:-1]
    return Colouring(column, names, counts.tolist(), codes.tolist(), True)
