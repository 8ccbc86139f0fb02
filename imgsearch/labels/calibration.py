"""The score from which two images are a match, learnt from pairs that are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.topk.topk import RunningTopK
from imgsearch.vectors import Matrix

FOLDS = 5


class Calibration(NamedTuple):
    """Pairs that score ``threshold`` or more match with ``precision``; ``recall`` of all matches are among them."""

    threshold: float
    precision: float
    recall: float
    n_pairs: int
    n_matching: int


class Check(NamedTuple):
    """Of questions about things that the threshold was not learned from: ``precision`` of the answers "the same", its
    standard deviation over the folds, the share of questions that were so answered, and the number of things."""

    precision: float
    spread: float
    answered: float
    n_groups: int


def calibrate(scores: NDArray[np.float32], matching: NDArray[np.bool_], precision: float) -> Calibration | None:
    """The lowest threshold at which at least ``precision`` of the pairs at or above it match; ``None`` where none does.

    ``scores``: (n,) float32; ``matching``: (n,) bool. Pairs of equal score stand or fall together.

    >>> calibrate(np.float32([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]), 0.7)[:3]
    (0.6000000238418579, 0.75, 1.0)
    """
    if not len(scores) or not matching.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    right = np.cumsum(matching[order])
    share = right / np.arange(1, len(order) + 1)
    last_of_equal = np.append(ordered[1:] != ordered[:-1], True)
    good = np.flatnonzero(last_of_equal & (share >= precision))
    if not len(good):
        return None
    at = int(good[-1])
    return Calibration(
        float(ordered[at]), float(share[at]), float(right[at] / right[-1]), len(scores), int(matching.sum())
    )


def first_matches(vectors: Matrix, labels: NDArray[np.str_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The score of each row with its most similar other row, and whether both have the same label.

    ``vectors``: (n, dim) float32 unit rows; ``labels``: (n,). Returns (n,) each; empty for fewer than two rows.
    """
    if len(vectors) < 2:
        return np.zeros(0, np.float32), np.zeros(0, bool)
    codes = np.unique(labels, return_inverse=True)[1]
    running = RunningTopK(vectors, 1)
    rows = np.arange(len(vectors))
    running.update(vectors, rows, exclude=rows)
    best = running.result()
    return best.scores[:, 0], codes[best.ids[:, 0]] == codes


def check_on_others(
    scores: NDArray[np.float32], matching: NDArray[np.bool_], groups: NDArray[np.str_], precision: float
) -> Check | None:
    """How a threshold does on ``groups`` that it was not learned from; ``None`` for fewer than two groups.

    ``scores``, ``matching``, ``groups``: (n,), a row a question. In each of ``FOLDS`` folds of whole groups
    (scikit-learn's ``GroupKFold``, shuffled) the threshold of the other folds is applied.
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        return None
    from sklearn.model_selection import GroupKFold  # executors have no scikit-learn

    folds = GroupKFold(min(FOLDS, n_groups), shuffle=True, random_state=0).split(scores, matching, groups)
    said, right = np.zeros((2, 0))
    for learned, applied in folds:
        calibration = calibrate(scores[learned], matching[learned], precision)
        is_yes = scores[applied] >= (np.inf if calibration is None else calibration.threshold)
        said = np.append(said, is_yes.sum())
        right = np.append(right, matching[applied][is_yes].sum())
    shares = right[said > 0] / said[said > 0]
    if not len(shares):
        return Check(float("nan"), float("nan"), 0.0, n_groups)
    return Check(float(right.sum() / said.sum()), float(shares.std()), float(said.sum() / len(scores)), n_groups)
