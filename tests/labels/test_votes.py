"""The vote against a loop, and by hand in the plane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.labels.votes import ORIGINS, SHARPNESS, Voters, held_out, origins, vote
from imgsearch.vectors import unit


def plane(*angles: float) -> np.ndarray:
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def voters(
    vectors: np.ndarray, labels: np.ndarray, centroids: np.ndarray | None = None, names: np.ndarray | None = None,
    medoids: np.ndarray | None = None, is_own: np.ndarray | None = None,
) -> Voters:  # fmt: skip
    centroids = np.empty((0, vectors.shape[1]), np.float32) if centroids is None else centroids
    names = ints() if names is None else names
    medoids = np.full(len(names), -1) if medoids is None else medoids
    return Voters(vectors, labels, np.ones(len(labels), bool) if is_own is None else is_own, centroids, names, medoids)


NOBODY = plane()[:0].reshape(0, 2)


def by_loop(rows: np.ndarray, of: Voters, own: np.ndarray, own_cluster: np.ndarray, top_k: int) -> list[tuple]:
    """(label, raw confidence, runner-up) of each row, in plain Python."""
    answers = []
    for i, row in enumerate(rows):
        ballots = [(float(row @ v), j, int(of.labels[j])) for j, v in enumerate(of.vectors) if j != own[i]]
        ballots = [(min(s, 1.0), j, label) for s, j, label in ballots if s > 0]
        for j, centroid in enumerate(of.centroids):
            score = float(row @ centroid)
            if j != own_cluster[i] and score > 0:
                ballots.append((min(score, 1.0) ** 2, len(of.vectors) + j, int(of.cluster_labels[j])))
        ballots = sorted(ballots, key=lambda b: (-b[0], b[1]))[:top_k]
        weight: dict[int, float] = {}
        for score, _, label in ballots:
            weight[label] = weight.get(label, 0.0) + score**SHARPNESS
        order = sorted(weight, key=lambda label: (-weight[label], label))
        if not order:
            answers.append((-1, 0.0, -1))
            continue
        near = max(score for score, _, label in ballots if label == order[0])
        confidence = weight[order[0]] / sum(weight.values()) * near
        answers.append((order[0], confidence, order[1] if len(order) > 1 else -1))
    return answers


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(0, 8), st.integers(1, 7))
def test_the_vote_is_that_of_a_loop(seed: int, m: int, c: int, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    rows, named, centroids = (unit(rng.standard_normal((n, 6))).reshape(n, 6) for n in (20, m, c))
    of = voters(named, rng.integers(0, 4, m), centroids, rng.integers(0, 4, c))
    own, own_cluster = rng.integers(-1, max(m, 1), 20), rng.integers(-1, max(c, 1), 20)
    got = vote(rows, of, own, own_cluster, top_k)
    expected = by_loop(rows, of, own, own_cluster, top_k)
    assert got.labels.tolist() == [e[0] for e in expected]
    assert got.runner_up.tolist() == [e[2] for e in expected]
    np.testing.assert_allclose(got.confidence, [e[1] for e in expected], atol=1e-5)
    parts = [vote(rows[i : i + 7], of, own[i : i + 7], own_cluster[i : i + 7], top_k) for i in (0, 7, 14)]
    for whole, *pieces in zip(got, *parts, strict=True):  # rows fall into batches as they like
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_named_images_of_any_cluster_vote_before_a_clusters_name() -> None:
    of = voters(plane(0, 4), ints(5, 5), plane(60), ints(9))
    got = vote(plane(2, 62), of)
    assert got.labels.tolist() == [5, 9]
    assert [ORIGINS[o] for o in origins(got, of, ints(9, 9))] == ["vote", "cluster"]
    assert got.confidence[0] == pytest.approx(np.cos(np.radians(2)), abs=0.01)


def test_another_clusters_name_is_a_vote() -> None:
    of = voters(NOBODY, ints(), plane(0), ints(3))
    assert [ORIGINS[o] for o in origins(vote(plane(1, 1), of), of, ints(3, -1))] == ["cluster", "vote"]


def test_an_image_that_backs_its_clusters_name_makes_it_a_vote() -> None:
    for is_own, expected in ((True, "vote"), (False, "cluster")):
        of = voters(plane(1), ints(3), plane(0), ints(3), is_own=np.array([is_own]))
        assert [ORIGINS[o] for o in origins(vote(plane(2), of), of, ints(3))] == [expected]


def test_an_even_vote_is_half_as_sure_and_one_distant_image_is_not_sure() -> None:
    even = vote(plane(0), voters(plane(10, -10), ints(1, 2)))
    assert (even.labels[0], even.runner_up[0]) == (1, 2)
    assert even.confidence[0] == pytest.approx(np.cos(np.radians(10)) / 2, abs=1e-5)
    assert vote(plane(0), voters(plane(80), ints(1))).confidence[0] == pytest.approx(np.cos(np.radians(80)), abs=1e-5)
    nobody = vote(plane(0), voters(plane(90.5, 180), ints(1, 2)))
    assert (nobody.labels[0], nobody.confidence[0], nobody.nearest[0]) == (-1, 0, 0)
    assert nobody.voters.tolist() == [[-1] * 5]


def test_the_cosine_to_a_centroid_is_squared() -> None:
    got = vote(plane(60), voters(NOBODY, ints(), plane(0), ints(4)))
    assert got.nearest[0] == pytest.approx(0.25, abs=1e-5)
    assert got.voters[0, 0] == 0


def test_held_out_names_vote_without_themselves() -> None:
    of = voters(
        plane(0, 20, 40), ints(1, 2, 3), plane(1, 21), ints(1, 2), medoids=ints(0, 1),
        is_own=np.array([False, True, True]),
    )  # fmt: skip
    got = held_out(of, ints(0, 1, 2))
    own = [set(row.tolist()) for row in got.voters]
    assert 0 not in own[0]
    assert 3 not in own[0]  # its cluster was named by looking at it
    assert 1 not in own[1]
    assert 4 in own[1]  # it has a name of its own, and its cluster another person's
    assert 2 not in own[2]
    np.testing.assert_array_equal(held_out(of, ints(2)).voters[0], got.voters[2])


def test_arrays_must_agree() -> None:
    with pytest.raises(ValueError, match="negative"):
        vote(plane(0), voters(plane(0), ints(-1)))
    with pytest.raises(ValueError, match="differ in number"):
        vote(plane(0), voters(plane(0), ints(1, 2)))
