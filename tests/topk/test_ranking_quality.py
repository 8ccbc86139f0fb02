import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from imgsearch.topk import quality
from imgsearch.vectors import unit


def collection(n: int = 120, n_labels: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_labels, n)
    modes = rng.standard_normal((n_labels, 10))
    return unit((modes[labels] + rng.standard_normal((n, 10))).astype(np.float32)), labels


def test_leave_one_out_against_a_loop() -> None:
    vectors, labels = collection()
    got = quality.retrieval(vectors, [f"class {label}" for label in labels], cuts=(1, 6))
    for query in range(len(vectors)):
        others = [i for i in range(len(vectors)) if i != query]
        others.sort(key=lambda i: (-float(vectors[query] @ vectors[i]), i))
        relevant = [bool(labels[i] == labels[query]) for i in others]
        assert got.precision_at_k[query].tolist() == pytest.approx([float(relevant[0]), sum(relevant[:6]) / 6])
        assert got.hit_rate_at_k[query].tolist() == [float(relevant[0]), float(any(relevant[:6]))]
        found = [sum(relevant[: i + 1]) / (i + 1) for i in range(len(others)) if relevant[i]]
        assert got.average_precision[query] == pytest.approx(np.mean(found))


def test_average_precision_is_scikit_learns() -> None:
    vectors, labels = collection(seed=1)
    got = quality.retrieval(vectors, labels, cuts=(1,))
    others = np.arange(120) != 5
    expected = average_precision_score((labels == labels[5])[others], (vectors @ vectors[5])[others])
    assert got.average_precision[5] == pytest.approx(expected)


def test_a_label_with_one_image_is_left_out() -> None:
    vectors, labels = collection(n=30)
    labels = np.arange(30) % 5
    labels[4] = 99
    got = quality.retrieval(vectors, labels, cuts=(3,))
    for values in got:
        assert np.isnan(values[4])
        assert np.isfinite(np.delete(values, 4)).all()


def test_more_queries_than_a_block() -> None:
    vectors, labels = collection(n=1100)
    whole = quality.retrieval(vectors, labels, cuts=(5,))
    query = 1050
    scores = vectors @ vectors[query]
    scores[query] = -np.inf
    best = np.argsort(-scores)[:5]
    assert whole.precision_at_k[query] == pytest.approx((labels[best] == labels[query]).mean())


def test_what_an_image_asks_with_can_be_another_vector() -> None:
    vectors, labels = collection(n=40)
    other = unit(np.roll(vectors, 1, axis=0) + vectors)
    got = quality.retrieval(vectors, labels, cuts=(4,), queries=other)
    for query in range(40):
        scores = vectors @ other[query]
        scores[query] = -np.inf
        best = np.argsort(-scores)[:4]
        assert got.precision_at_k[query] == pytest.approx((labels[best] == labels[query]).mean())


def test_only_some_images_ask() -> None:
    vectors, labels = collection(n=90)
    rows = np.array([3, 70, 41])
    whole, some = (quality.retrieval(vectors, labels, (1, 5), rows=r) for r in (None, rows))
    for all_values, values in zip(whole, some, strict=True):
        np.testing.assert_array_equal(all_values[rows], values)


def test_what_comes_ahead_comes_in_its_order_and_the_rest_by_cosine() -> None:
    vectors, labels = collection(n=40)
    rows = np.array([2, 11])
    ahead = np.array([[7, 30, -1], [5, 6, 9]])
    result = quality.retrieval(vectors, labels, cuts=(1, 3), rows=rows, ahead=ahead)
    for at, query in enumerate(rows.tolist()):
        first = [row for row in ahead[at].tolist() if row >= 0]
        others = [i for i in range(40) if i != query and i not in first]
        order = first + sorted(others, key=lambda i: (-float(vectors[query] @ vectors[i]), i))
        relevant = labels[order] == labels[query]
        assert result.precision_at_k[at].tolist() == pytest.approx([float(relevant[0]), relevant[:3].mean()])
        precisions = np.cumsum(relevant) / np.arange(1, 40)
        assert result.average_precision[at] == pytest.approx(precisions[relevant].mean())


def test_settings_are_checked() -> None:
    vectors, labels = collection(n=10)
    for cuts in ((), (0,), (1, 10)):
        with pytest.raises(ValueError, match="cuts"):
            quality.retrieval(vectors, labels, cuts)
    with pytest.raises(ValueError, match="9 labels"):
        quality.retrieval(vectors, labels[:9], (3,))
