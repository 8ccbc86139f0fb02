"""The order of work, its samples and its progress, on small arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imgsearch.review.queue import looks_mixed, nearest_clusters, progress, queue_order, samples

FLAGS = arrays(bool, 6)


@given(arrays(np.int64, 6, elements=st.integers(0, 9)), FLAGS, FLAGS, FLAGS)
def test_order_is_again_open_mixed_decided_and_by_size(
    sizes: np.ndarray, open_: np.ndarray, again: np.ndarray, mixed: np.ndarray
) -> None:
    def group(i: int) -> int:
        if again[i]:
            return 0
        return 3 if not open_[i] else 2 if mixed[i] else 1

    expected = sorted((i for i in range(6) if sizes[i]), key=lambda i: (group(i), -sizes[i], i))
    assert queue_order(sizes, open_, again, mixed).tolist() == expected


def test_samples_begin_with_the_medoid_and_end_with_the_doubtful() -> None:
    rows = np.array([7, 3, 5, 1, 2])  # best score first
    margins = np.zeros(8, np.float32)
    margins[rows] = [0.5, 0.4, 0.1, 0.3, 0.2]
    assert samples(rows, margins, 3, 2, 2) == ([3, 7], [5, 2])
    assert samples(rows, margins, None, 9, 4) == ([7, 3, 5, 1, 2], [])


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 9))
def test_no_picture_is_shown_twice(n: int, n_central: int, n_borderline: int) -> None:
    rows = np.random.default_rng(n).permutation(n)
    central, borderline = samples(rows, np.arange(n, dtype=np.float32), int(rows[-1]), n_central, n_borderline)
    assert len({*central, *borderline}) == len(central) + len(borderline) == min(n, n_central + n_borderline)


def test_few_clusters_are_never_called_mixed() -> None:
    silhouette = np.array([0.9, 0.1, 0.5], np.float32)
    assert not looks_mixed(silhouette, np.array([3, 3, 3])).any()


def test_clusters_far_below_the_median_look_mixed() -> None:
    silhouette = np.array([0.5, 0.52, 0.48, 0.51, 0.49, 0.6, 0.4, 0.1, 0.0, 0.0], np.float32)
    sizes = np.array([5, 5, 5, 5, 5, 5, 5, 5, 1, 0])
    assert np.flatnonzero(looks_mixed(silhouette, sizes)).tolist() == [6, 7]


def test_progress_counts_names_and_decisions_apart() -> None:
    done = progress(np.array([10, 5, 3, 2, 0]), ["named", "junk", "open", "same_as", "named"], 25, images_named=11)
    assert done._asdict() == {
        "n_clusters": 4, "n_images": 25, "clusters_decided": 2, "clusters_named": 1, "images_decided": 15,
        "images_named": 11,
    }  # fmt: skip


def test_neighbours_are_other_clusters_with_images() -> None:
    centroids = np.array([[1, 0], [0.9, 0.43], [0, 1], [0.99, 0.14]], np.float32)
    assert nearest_clusters(centroids, 0, np.array([1, 1, 1, 0])) == [1, 2]
