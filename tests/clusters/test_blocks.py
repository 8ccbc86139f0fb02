"""Blocks and rounds as functions of Arrow batches: no Spark session."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from imgsearch.clusters import kmeans
from imgsearch.clusters.blocks import BLOCK_ROWS, make_blocks, matrix_of
from imgsearch.clusters.rounds import assign_blocks, merge_sums, sum_blocks
from imgsearch.vectors import pack, unit

DIM = 8


def vectors(n: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32))


def batches(rows: np.ndarray, sizes: int = 300) -> list[pa.RecordBatch]:
    ids = [f"{i:06d}" for i in range(len(rows))]
    whole = pa.table({"image_id": ids, "vector": pack(rows), "sampled": [i % 3 == 0 for i in range(len(rows))]})
    return whole.to_batches(max_chunksize=sizes)


def test_every_row_is_in_one_block_beside_its_id() -> None:
    rows = vectors(5000)
    blocks = list(make_blocks(DIM)(iter(batches(rows))))
    seen = {}
    for block in blocks:
        ids, matrix = block.column(0)[0].values.to_pylist(), matrix_of(block.column(1)[0], DIM)
        assert len(ids) == len(matrix) <= BLOCK_ROWS
        assert {int(i) % 3 == 0 for i in ids} == {block.column(2)[0].as_py()}
        seen |= dict(zip(ids, map(bytes, matrix), strict=True))
    assert seen == {f"{i:06d}": bytes(row) for i, row in enumerate(rows)}
    assert len(blocks) < 10


def test_zero_and_nan_vectors_are_named_and_left_out() -> None:
    rows = vectors(700)
    rows[[3, 650]] = 0
    rows[400, 2] = np.nan
    rows[5] *= 7
    blocks = list(make_blocks(DIM)(iter(batches(rows))))
    named = [i for b in blocks if not b.column(1)[0].is_valid for i in b.column(0)[0].values.to_pylist()]
    assert sorted(named) == ["000003", "000005", "000400", "000650"]
    good = [i for b in blocks if b.column(1)[0].is_valid for i in b.column(0)[0].values.to_pylist()]
    assert len(good) == 696


def test_sums_of_blocks_are_the_sums_of_the_rows_however_they_are_cut() -> None:
    rows, centroids = vectors(3000), vectors(5, seed=1)
    shared = SimpleNamespace(value=centroids)
    whole = kmeans.partial(rows, centroids).to_bytes()
    for cut in (100, 999):
        parts = [
            sum_blocks(shared)(iter(b.select(["vectors"]) for b in make_blocks(DIM)(iter(part))))
            for part in (batches(rows, cut)[::2], batches(rows, cut)[1::2])
        ]
        assert merge_sums(*parts) == whole


def test_members_have_the_nearest_and_the_second_nearest() -> None:
    rows, centroids = vectors(500), vectors(6, seed=1)
    blocks = [b.select(["image_ids", "vectors"]) for b in make_blocks(DIM)(iter(batches(rows)))]
    members = pa.Table.from_batches(assign_blocks(SimpleNamespace(value=centroids))(iter(blocks))).sort_by("image_id")
    scores = rows.astype(np.float64) @ centroids.T.astype(np.float64)
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    assert members.column("cluster").to_pylist() == order[:, 0].tolist()
    assert members.column("second").to_pylist() == order[:, 1].tolist()
    np.testing.assert_allclose(members.column("score").to_numpy(), ranked[:, 0], atol=1e-6)
    np.testing.assert_allclose(members.column("margin").to_numpy(), ranked[:, 0] - ranked[:, 1], atol=1e-6)


def test_one_centroid_has_no_rival() -> None:
    blocks = [b.select(["image_ids", "vectors"]) for b in make_blocks(DIM)(iter(batches(vectors(20))))]
    members = pa.Table.from_batches(assign_blocks(SimpleNamespace(value=vectors(1)))(iter(blocks)))
    assert members.column("second").null_count == members.column("margin").null_count == 20
