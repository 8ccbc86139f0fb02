"""Contradictions among names, on vectors whose truth is plain."""

from __future__ import annotations

import numpy as np

from imgsearch.review.doubts import Rivals, contradictions, rivals
from imgsearch.vectors import Matrix, unit


def around(centre: int, n: int, seed: int, noise: float = 0.1) -> Matrix:
    rng = np.random.default_rng(seed)
    rows = np.eye(8, dtype=np.float32)[[centre] * n] + rng.normal(0, noise, (n, 8))
    return unit(rows.astype(np.float32))


def test_clusters_that_look_the_same_under_two_names() -> None:
    close = unit(np.array([[1, 0.1, 0], [1, 0, 0.1], [0, 1, 0], [0.99, 0.1, 0.1]], np.float32))
    cohesion = np.full(4, 0.9, np.float32)
    found = rivals(close, np.array([0, 1, 2, 0]), cohesion, 9)
    assert [(r.first, r.second) for r in found] == [(1, 3), (0, 1)]  # the most alike first; 0 and 3 have one name
    assert rivals(close, np.array([0, 1, 2, 0]), cohesion, 1) == found[:1]
    assert rivals(close, np.array([0, -1, 2, 0]), cohesion, 9) == []
    assert rivals(close, np.array([0, 1, 2, 0]), np.full(4, 0.9999, np.float32), 9) == []
    assert rivals(close[:1], np.array([0]), cohesion[:1], 9) == []
    assert isinstance(found[0], Rivals)


def test_an_image_whose_neighbours_say_otherwise() -> None:
    vectors = np.concatenate([around(0, 20, 1), around(1, 20, 2)])
    labels = np.array([0] * 20 + [1] * 20)
    labels[3] = 1
    everything = np.arange(40)
    found = contradictions(vectors, labels, everything)
    assert [(c.row, c.instead) for c in found] == [(3, 0)]
    assert found[0].share == 1.0
    assert contradictions(vectors, np.full(40, -1), np.array([], np.int64)) == []


def test_images_without_a_name_do_not_vote() -> None:
    vectors = around(0, 30, 5)
    labels = np.full(30, -1)
    labels[:2] = [0, 1]
    assert contradictions(vectors, labels, np.array([0, 1])) == []  # one voter is not enough
