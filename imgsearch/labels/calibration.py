"""The score from which two images are a match, learnt from pairs that are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imgsearch.retrieval.expansion import nearest_others
from imgsearch.vectors import Matrix

FOLDS = 5


class Calibration(NamedTuple):
    """Pairs that score ``threshold`` or more match with ``precision``; ``recall`` of all matches are among them."""

    threshold: float
    precision: float
    recall: float
    n_pairs: int
    n_matching: int


class Cut(NamedTuple):
    """From ``threshold`` on a share of ``precision`` is right: ``right`` in number."""

    threshold: float
    precision: float
    right: float


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
    n_matching = int(matching.sum())
    cut = lowest_cut(scores, np.ones(len(scores)), matching, precision) if n_matching else None
    if cut is None:
        return None
    return Calibration(cut.threshold, cut.precision, cut.right / n_matching, len(scores), n_matching)


def lowest_cut(scores: ArrayLike, counts: ArrayLike, right: ArrayLike, precision: float) -> Cut | None:
    """The lowest of ``scores`` (n,) from which at least ``precision`` is right; ``None`` where there is none.

    ``counts`` (n,): how many have each score, and ``right`` (n,) how many of these are right. Equal scores stand or
    fall together.
    """
    scores, counts, right = (np.asarray(values) for values in (scores, counts, right))
    order = np.argsort(-scores, kind="stable")
    ordered, total, good = scores[order], np.cumsum(counts[order]), np.cumsum(right[order])
    share = good / np.where(total > 0, total, 1)
    last_of_equal = np.append(ordered[1:] != ordered[:-1], True)[: len(order)]
    at = np.flatnonzero(last_of_equal & (share >= precision) & (total > 0))[-1:]
    return Cut(float(ordered[at[0]]), float(share[at[0]]), float(good[at[0]])) if len(at) else None


def first_matches(vectors: Matrix, labels: NDArray[np.str_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The score of each row with its most similar other row, and whether both have the same label.

    ``vectors``: (n, dim) float32 unit rows; ``labels``: (n,). Returns (n,) each; empty for fewer than two rows.
    """
    if len(vectors) < 2:
        return np.zeros(0, np.float32), np.zeros(0, bool)
    codes = np.unique(labels, return_inverse=True)[1]
    best = nearest_others(vectors, 1, np.arange(len(vectors)))
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
