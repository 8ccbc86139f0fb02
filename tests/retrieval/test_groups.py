import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.retrieval.groups import rank_groups


def naive(scores, groups, top_k, best):
    """{group: mean of its best images} in order, for one query that has seen everything."""
    means = {}
    for group in set(groups.tolist()):
        mine = np.sort(scores[groups == group])[::-1][:best]
        means[group] = np.float32(mine.astype(np.float64).mean())
    return sorted(means.items(), key=lambda item: (-item[1], item[0]))[:top_k]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 60), st.integers(1, 8), st.integers(1, 5), st.integers(1, 4), st.integers(1, 60), st.integers(0, 99)
)
def test_a_settled_ranking_is_the_ranking_of_the_whole_gallery(n, n_groups, top_k, best, depth, seed):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n), 2).astype(np.float32)
    groups = rng.integers(0, n_groups, n)
    ids = np.arange(n)
    sizes = np.bincount(groups, minlength=n_groups)[groups]
    order = np.lexsort((ids, -scores))[:depth]
    floors = {} if depth >= n else {3: float(scores[order[-1]])}
    found = rank_groups(
        np.full(len(order), 3), groups[order], sizes[order], ids[order], scores[order], floors, top_k, best
    )
    if not len(found.open_queries):
        truth = naive(scores, groups, top_k, best)
        first = found.image_ranks == 1
        ranked = list(zip(found.groups[first].tolist(), found.group_scores[first].tolist(), strict=True))
        assert [g for g, _ in ranked] == [g for g, _ in truth]
        np.testing.assert_allclose([s for _, s in ranked], [s for _, s in truth], rtol=1e-6)
    else:
        assert depth < n


def test_supporting_images_are_listed_best_first():
    scores = np.array([0.9, 0.5, 0.8, 0.7], np.float32)
    found = rank_groups(
        np.zeros(4, np.int64),
        np.array([1, 1, 2, 2]),
        np.array([2, 2, 2, 2]),
        np.array([10, 11, 12, 13]),
        scores,
        {},
        2,
        2,
    )
    assert found.groups.tolist() == [2, 2, 1, 1]
    assert found.ranks.tolist() == [1, 1, 2, 2]
    assert found.image_ranks.tolist() == [1, 2, 1, 2]
    assert found.rows.tolist() == [2, 3, 0, 1]
    np.testing.assert_allclose(found.group_scores, [0.75, 0.75, 0.7, 0.7], rtol=1e-6)


def test_max_and_mean_disagree_where_they_should():
    scores = np.array([0.9, 0.1, 0.8, 0.7], np.float32)
    columns = (np.zeros(4, np.int64), np.array([1, 1, 2, 2]), np.full(4, 2), np.arange(4), scores, {})
    assert rank_groups(*columns, top_k=1, best=1).groups.tolist() == [1]
    assert set(rank_groups(*columns, top_k=1, best=2).groups.tolist()) == {2}


def test_a_group_that_lacks_voters_leaves_the_query_open():
    one = (
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.array([5]),
        np.zeros(1, np.int64),
        np.array([0.9], np.float32),
    )
    assert rank_groups(*one, {0: 0.9}, top_k=1, best=2).open_queries.tolist() == [0]
    assert rank_groups(*one, {}, top_k=1, best=2).open_queries.tolist() == []
