"""Both levels of the join on Arrow batches, against NumPy. No Spark is started."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imgsearch.lake.shared import Inline
from imgsearch.retrieval.join import NO_SCORE, Queries, merge_blocks, partial_topk
from imgsearch.retrieval.probes import probes_of
from imgsearch.topk.topk import NOBODY
from imgsearch.vectors import Matrix, pack, unit

N, DIM, K = 60, 8, 5


def unit_normal(n: int, seed: int) -> Matrix:
    return unit(np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32))


@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_two_tasks_of_several_batches(probed: bool, packed: bool) -> None:
    gallery, queries = unit_normal(N, 1), unit_normal(7, 2)
    clusters = np.arange(N) % 3
    nearest = np.array([[i % 3] for i in range(7)])
    keys, own = np.arange(N) * 10, np.full(7, NOBODY)
    own[0] = 0
    request = Queries(queries, own, K, NO_SCORE, probes_of(nearest) if probed else None)
    vectors = pack(gallery) if packed else pa.array((gallery * 298).tolist(), pa.list_(pa.float32()))
    columns = {"image_id": pa.array(keys), "vector": vectors}
    if probed:
        columns["cluster_id"] = pa.array(clusters, pa.int32())
    table = pa.table(columns)
    tasks = [table.slice(start, N // 2).to_batches(max_chunksize=9) for start in (0, N // 2)]
    parts = pa.Table.from_batches([part for task in tasks for part in partial_topk(Inline(request))(iter(task))])
    assert set(parts.column("block").to_pylist()) == {0}
    ranked = merge_blocks(request.block)(parts).to_pylist()
    for query in range(7):
        scores = gallery @ queries[query]
        scores[keys == own[query]] = -2
        if probed:
            scores[clusters != query % 3] = -2
        expected = keys[np.argsort(-scores)[:K]].tolist()
        assert [row["image_key"] for row in ranked if row["query_row"] == query] == expected
