import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from imgsearch.labels import metrics
from imgsearch.vectors import unit


def collection(n: int = 120, n_labels: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_labels, n)
    modes = rng.standard_normal((n_labels, 10))
    return unit((modes[labels] + rng.standard_normal((n, 10))).astype(np.float32)), labels


def test_leave_one_out_against_a_loop() -> None:
    vectors, labels = collection()
    got = metrics.retrieval(vectors, [f"class {label}" for label in labels], top_k=6)
    for query in range(len(vectors)):
        others = [i for i in range(len(vectors)) if i != query]
        others.sort(key=lambda i: (-float(vectors[query] @ vectors[i]), i))
        relevant = [bool(labels[i] == labels[query]) for i in others]
        assert got.precision_at_k[query] == pytest.approx(sum(relevant[:6]) / 6)
        assert got.hit_rate_at_k[query] == float(any(relevant[:6]))
        found = [sum(relevant[: i + 1]) / (i + 1) for i in range(len(others)) if relevant[i]]
        assert got.average_precision[query] == pytest.approx(np.mean(found))


def test_average_precision_is_scikit_learns() -> None:
    vectors, labels = collection(seed=1)
    got = metrics.retrieval(vectors, labels, top_k=1)
    others = np.arange(120) != 5
    expected = average_precision_score((labels == labels[5])[others], (vectors @ vectors[5])[others])
    assert got.average_precision[5] == pytest.approx(expected)


def test_a_label_with_one_image_is_left_out() -> None:
    vectors, labels = collection(n=30)
    labels = np.arange(30) % 5
    labels[4] = 99
    got = metrics.retrieval(vectors, labels, top_k=3)
    for values in got:
        assert np.isnan(values[4])
        assert np.isfinite(np.delete(values, 4)).all()


def test_more_queries_than_a_block() -> None:
    vectors, labels = collection(n=1100)
    whole = metrics.retrieval(vectors, labels, top_k=5)
    query = 1050
    scores = vectors @ vectors[query]
    scores[query] = -np.inf
    best = np.argsort(-scores)[:5]
    assert whole.precision_at_k[query] == pytest.approx((labels[best] == labels[query]).mean())


def test_what_an_image_asks_with_can_be_another_vector() -> None:
    vectors, labels = collection(n=40)
    other = unit(np.roll(vectors, 1, axis=0) + vectors)
    got = metrics.retrieval(vectors, labels, top_k=4, queries=other)
    for query in range(40):
        scores = vectors @ other[query]
        scores[query] = -np.inf
        best = np.argsort(-scores)[:4]
        assert got.precision_at_k[query] == pytest.approx((labels[best] == labels[query]).mean())


def test_settings_are_checked() -> None:
    vectors, labels = collection(n=10)
    for top_k in (0, 10):
        with pytest.raises(ValueError, match="top_k"):
            metrics.retrieval(vectors, labels, top_k)
    with pytest.raises(ValueError, match="9 labels"):
        metrics.retrieval(vectors, labels[:9], 3)


def test_purity_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    cluster_ids, labels = rng.integers(0, 9, 200), rng.integers(0, 4, 200)
    commonest = sum(np.bincount(labels[cluster_ids == c]).max() for c in set(cluster_ids.tolist()))
    assert metrics.purity(cluster_ids, labels) == pytest.approx(commonest / 200)
    assert metrics.purity(labels, labels) == 1.0
    with pytest.raises(ValueError, match="labels"):
        metrics.purity([], [])


def test_nmi_is_one_for_the_same_partition_and_near_nought_for_chance() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 5000)
    assert metrics.nmi((labels + 1) % 4, labels) == pytest.approx(1)
    assert metrics.nmi(rng.integers(0, 4, 5000), labels) < 0.01
