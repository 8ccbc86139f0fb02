"""Ways to search side by side: which one is taken, and the projections that they compare in. No Spark is started."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imgsearch.labels.comparison import Measured, choose, metrics_of, report, ways, whitened
from imgsearch.projections.moments import Moments
from imgsearch.projections.projection import Projection, fit


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(2)
    return (rng.standard_normal((300, 24)) * np.linspace(3, 0.2, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def plain(rows: np.ndarray) -> Projection:
    return fit(Moments.of(rows), 12, "an-encoder")


def test_whitening_another_way_is_a_fit_with_that_whitening(plain, rows):
    fitted = fit(Moments.of(rows), 12, "an-encoder", 0.25)
    np.testing.assert_allclose(whitened(plain, 0.25).apply(rows), fitted.apply(rows), atol=1e-5)
    np.testing.assert_allclose(whitened(fitted, 0.0).apply(rows), plain.apply(rows), atol=1e-5)
    assert whitened(plain, 0.0) is plain


def test_the_ways_begin_with_plain_search_and_end_with_what_was_learned(plain):
    usual = ["plain", "whitening .25", "expand 3", "spread", "whitening .25, spread"]
    assert [way.name for way in ways(plain, plain, 0)] == usual
    assert [way.name for way in ways(plain, plain, 7)][2] == "expand 7"
    learned = replace(plain, components=plain.components[::-1].copy(), engine="gram+wccn")
    assert [way.name for way in ways(plain, learned, 0)] == [*usual, "learned", "learned, spread"]


def test_what_is_typed_begins_with_the_projection_where_that_is_another(plain):
    learned = replace(plain, components=plain.components[::-1].copy(), engine="gram+wccn")
    typed = {way.name: way.options for way in ways(plain, plain, 0)}
    assert typed["plain"] == "search"
    assert typed["spread"] == "neighbours; search --spread"
    assert typed["whitening .25, spread"] == "compress --whitening 0.25; neighbours; search --spread"
    typed = {way.name: way.options for way in ways(plain, learned, 0)}
    assert typed["expand 3"] == "compress --whitening 0 --refit; search --expand 3"
    assert typed["learned, spread"] == "neighbours; search --spread"
    white = whitened(plain, 0.25)
    typed = {way.name: way.options for way in ways(white, white, 0)}
    assert typed["plain"] == "compress --whitening 0; search"
    assert typed["whitening .25"] == "search"


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(0.5, 0.9, 0.7), (0.6, 0.9, 0.8)], 1),
        ([(0.5, 0.9, 0.7), (0.6, 0.894, 0.8)], 0),  # precision@1 falls by more than .005
        ([(0.5, 0.9, 0.7), (0.504, 0.9, 0.9)], 0),  # mAP gains too little
        ([(0.5, 0.9, 0.7), (0.6, 0.896, 0.696), (0.59, 0.95, 0.9)], 1),
        ([(0.5, 0.9, np.nan), (0.6, 0.9, np.nan)], 1),  # a gallery of ten has no precision@10
    ],
)
def test_the_row_to_choose_gains_and_loses_nowhere(figures, best):
    assert choose(figures) == best


def test_the_report_marks_the_row_and_says_what_to_type(plain):
    every = list(ways(plain, plain, 0))
    figures = [(0.5, 0.9, 0.7), (0.49, 0.9, 0.7), (0.52, 0.9, 0.7), (0.6, 0.9, 0.75), (0.61, 0.8, 0.8)]
    measured = [Measured(way, row) for way, row in zip(every, figures, strict=True)]
    lines = report(measured).splitlines()
    assert [line.startswith("*") for line in lines[2:-1]] == [False, False, False, True, False]
    assert lines[-1].startswith("choose spread ")
    assert lines[-1].endswith(": neighbours; search --spread")
    metrics = {(name, k): value for name, k, value, _ in metrics_of(measured)}
    assert metrics["compared_whitening_spread_precision_at_k", 1] == 0.8
    assert metrics["compared_plain_map", None] == 0.5
