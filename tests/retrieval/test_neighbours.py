"""Lists of neighbours: batches by pure functions, and the job on a small warehouse that grows and shrinks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from support.warehouses import an_id, clustered, make

from imgsearch.config import NeighboursConfig
from imgsearch.keys import order_keys
from imgsearch.lake.shared import Inline
from imgsearch.lake.store import TableStore
from imgsearch.retrieval import neighbours
from imgsearch.retrieval.graph import merged
from imgsearch.retrieval.neighbour_lists import LISTED, Block, look_at_block, merge_batches, pack_ranked, pair_batches
from imgsearch.tables import NEIGHBOURS, VECTORS
from imgsearch.topk.topk import NOBODY, TopK
from imgsearch.vectors import pack


def unpacked(rows):
    """image_id → (keys, scores)."""
    return {
        r["image_id"]: (np.frombuffer(r["neighbours"], "<i8").tolist(), np.frombuffer(r["scores"], "<f4")) for r in rows
    }


def naive(vectors, ids):
    """image_id → keys of the nearest others: score descending, then id ascending."""
    keys = order_keys(pa.array(ids))
    scores = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    lists = {}
    for i, image_id in enumerate(ids):
        order = [int(j) for j in np.lexsort((keys, -scores[i].astype(np.float32))) if j != i][:LISTED]
        lists[image_id] = keys[order].tolist() + [NOBODY] * (LISTED - len(order))
    return lists


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_ranked_rows_are_packed_however_batches_cut_them(batch_rows):
    queries = np.repeat([0, 2, 3], [20, 1, 5]).astype(np.int32)
    keys, scores = np.arange(26), np.linspace(1, 0, 26).astype(np.float32)
    table = pa.table({"query_row": queries, "image_key": keys, "score": scores})
    names = Inline((pa.array(["a", "b", "c", "d"]), np.array([10, 11, 12, 13])))
    batches = list(pack_ranked(names)(iter(table.to_batches(max_chunksize=batch_rows))))
    rows = pa.Table.from_batches(batches).to_pylist()
    assert [(r["image_id"], r["image_key"]) for r in rows] == [("a", 10), ("c", 12), ("d", 13)]
    lists = unpacked(rows)
    assert lists["a"][0] == list(range(20))
    assert lists["c"][0] == [20] + [NOBODY] * 19
    assert lists["d"][0][:6] == [21, 22, 23, 24, 25, NOBODY]
    np.testing.assert_array_equal(lists["d"][1][:5], scores[21:])
    assert np.isneginf(lists["d"][1][5:]).all()


def test_a_new_block_and_old_lists_give_the_lists_of_both():
    vectors, _, _ = clustered(90, 5)
    ids = sorted(an_id(i) for i in range(90))
    new = np.arange(90) % 3 == 0
    names, rows = np.array(ids), pack(vectors)
    gallery = pa.table({"image_id": ids, "vector": rows})

    def lists(block_rows, of_rows):
        chosen = pa.array(np.flatnonzero(block_rows))
        some = gallery.take(chosen)
        block = Block(some.column(0).combine_chunks(), order_keys(some.column(0)), vectors[block_rows])
        of = gallery.take(pa.array(np.flatnonzero(of_rows)))
        return pa.Table.from_batches(look_at_block(Inline(block))(iter(of.to_batches(max_chunksize=11))))

    old, candidates = lists(~new, ~new), lists(new, ~new)
    both = old.append_column("_k", candidates.column("neighbours")).append_column("_s", candidates.column("scores"))
    result = unpacked(pa.Table.from_batches(merge_batches(iter(both.to_batches(max_chunksize=13)))).to_pylist())
    expected = naive(vectors, ids)
    assert {image_id: keys for image_id, (keys, _) in result.items()} == {i: expected[i] for i in names[~new]}


def test_a_neighbour_that_both_lists_have_counts_once():
    lists = TopK(np.array([[5, 6, NOBODY]]), np.array([[0.9, 0.5, -np.inf]], np.float32))
    candidates = TopK(np.array([[6, 7, 5]]), np.array([[0.5, 0.4, 0.9]], np.float32))
    best = merged(lists, candidates, 3)
    assert best.ids.tolist() == [[5, 6, 7]]
    np.testing.assert_allclose(best.scores, [[0.9, 0.5, 0.4]])


def test_pairs_are_a_row_a_neighbour():
    keys = np.array([[3, 4, NOBODY], [5, NOBODY, NOBODY]])
    lists = pa.array([row.astype("<i8").tobytes() for row in keys], pa.binary())
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "b"]), lists], names=["image_id", "neighbours"])
    (pairs,) = pair_batches(iter([batch]))
    assert pairs.to_pylist() == [
        {"image_id": "a", "neighbour": 3}, {"image_id": "a", "neighbour": 4}, {"image_id": "b", "neighbour": 5},
    ]  # fmt: skip


def test_lists_follow_the_vectors(spark, tmp_path, monkeypatch):
    """Made in several blocks, then with new images, without some, and again with nothing to do."""
    vectors, _, _ = clustered(110, 8)
    ids = [an_id(i) for i in range(110)]
    made = make(spark, tmp_path / "w", vectors[:80], ids=ids[:80])
    config, warehouse = NeighboursConfig(warehouse=made.location), TableStore.open(spark, made.location)
    monkeypatch.setattr(neighbours, "BLOCK", 30)

    def check(rows, new):
        summary = neighbours.run(spark, config)
        assert (summary.rows_in, summary.details["new"]) == (len(rows), str(new))
        result = unpacked(warehouse.read(NEIGHBOURS).collect())
        assert {i: keys for i, (keys, _) in result.items()} == naive(vectors[rows], [ids[row] for row in rows])
        return warehouse.version(NEIGHBOURS)

    check(list(range(80)), new=80)
    more = pa.table({
        "image_id": ids[80:], "projection_id": [made.projection.projection_id] * 30, "vector": pack(vectors[80:]),
    })  # fmt: skip
    warehouse.append(VECTORS, spark.createDataFrame(more))
    version = check(list(range(110)), new=30)
    assert check(list(range(110)), new=0) == version
    warehouse.delete(VECTORS, F.col("image_id").isin(ids[:4]))
    summary = neighbours.run(spark, config)
    assert int(summary.details["again"]) > 4
    result = unpacked(warehouse.read(NEIGHBOURS).collect())
    assert {i: keys for i, (keys, _) in result.items()} == naive(vectors[4:], ids[4:])
