"""Images by their best region: the merge of searches by region number, against an oracle that sorts all pairs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.retrieval.best_regions import RunningRegions, merge_regions
from imgsearch.retrieval.join import NO_SCORE, Queries
from imgsearch.retrieval.region_join import merge_region_blocks, partial_regions
from imgsearch.topk.topk import NOBODY, TopK
from imgsearch.vectors import pack

DIM = 3


class Held:
    """What a broadcast gives."""

    def __init__(self, value: Queries) -> None:
        self.value = value


def oracle(
    queries: np.ndarray,
    rows: np.ndarray,
    ids: np.ndarray,
    regions: np.ndarray,
    top_k: int,
    own: np.ndarray,
    least: float,
) -> list[list[tuple[int, int]]]:
    """(image, region) of each query's ``top_k`` best images, best first: every pair scored, all sorted."""  # fmt: skip
    answers = []
    for query, mine in zip(queries, own, strict=True):
        scores = (query.astype(np.float64) * rows).sum(1).astype(np.float32)
        order = sorted(range(len(rows)), key=lambda i: (-scores[i], ids[i], regions[i]))
        best: dict[int, int] = {}
        for i in order:
            if ids[i] != mine and scores[i] >= least:
                best.setdefault(int(ids[i]), int(regions[i]))
        answers.append(list(best.items())[:top_k])
    return answers


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000), n_images=st.integers(1, 40), n_regions=st.integers(0, 4), n_tasks=st.integers(1, 4),
    top_k=st.integers(1, 12), least=st.sampled_from([NO_SCORE, 0.0, 0.5]), exclude=st.booleans(),
)  # fmt: skip
def test_tasks_and_blocks_give_the_oracles_answer(
    seed: int, n_images: int, n_regions: int, n_tasks: int, top_k: int, least: float, exclude: bool
) -> None:
    rng = np.random.default_rng(seed)
    queries = rng.integers(-1, 2, (5, DIM)).astype(np.float32)  # few values: many ties
    pairs = [(i, r) for i in range(n_images) for r in range(n_regions + 1) if r == 0 or rng.random() < 0.7]
    ids, regions = np.array(pairs, np.int64).reshape(-1, 2).T
    rows = rng.integers(-2, 3, (len(pairs), DIM)).astype(np.float32) / 2
    own = rng.integers(0, n_images, 5) if exclude else np.full(5, NOBODY)
    request = Queries(queries, own, top_k, least, None)
    task_of = rng.integers(0, n_tasks, len(pairs))
    partial = []
    for task in range(n_tasks):
        mine = np.flatnonzero(task_of == task)
        batches = [
            pa.RecordBatch.from_arrays(
                [pa.array(ids[some]), pa.array(regions[some].astype(np.int32)), pack(rows[some])], names=list("irv")
            )
            for some in np.array_split(mine, 2)
        ]
        partial += list(partial_regions(Held(request))(iter(batches)))  # type: ignore[arg-type]
    found = merge_region_blocks(request.block)(pa.Table.from_batches(partial)).to_pylist()
    expected = oracle(queries, rows, ids, regions, top_k, own, least)
    for query in range(5):
        answer = [(r["rank"], r["image_key"], r["region"]) for r in found if r["query_row"] == query]
        assert answer == [(rank, *pair) for rank, pair in enumerate(expected[query], 1)]


def test_bounds_of_one_number_spare_the_others_their_rows() -> None:
    rng = np.random.default_rng(0)
    query = np.array([[1, 0, 0]], np.float32)
    near = rng.uniform(0.9, 1, (500, DIM)).astype(np.float32)
    far = rng.uniform(0, 0.5, (500, DIM)).astype(np.float32)
    running = RunningRegions(query, 3)
    for rows, number in ((near, 0), (far, 1)):
        running.update(rows, np.arange(500), np.full(500, number), None, NO_SCORE)
    (_, first), (_, second) = running.results()
    assert (first.ids != NOBODY).all()
    assert (second.ids == NOBODY).all()  # none of them can be among the three best images


def test_slots_that_stay_empty() -> None:
    part = TopK(np.array([[4, NOBODY]]), np.array([[0.5, -np.inf]], np.float32))
    best = merge_regions([(0, part), (2, part)], 3)
    assert best.ids.tolist() == [[4, NOBODY, NOBODY]]
    assert best.regions.tolist() == [[0, 0, 0]]
    assert best.scores.tolist() == [[0.5, -np.inf, -np.inf]]
    with pytest.raises(ValueError, match="no parts"):
        merge_regions([], 3)
