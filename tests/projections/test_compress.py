"""Compress on small warehouses: the projection as a table and as MLlib's, both engines, storage, new images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.linalg
from pyspark.ml.feature import PCAModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import CompressConfig, EmbedConfig, IngestConfig
from imgsearch.encoders import embed
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.lake.batches import gather
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.projections.moments import Moments, merge_moments, moments_of_batches
from imgsearch.projections.spaces import current_projection, find_projection, vectors_of
from imgsearch.tables import EMBEDDINGS, ENCODERS, PROJECTIONS, QUARANTINE, VECTORS
from imgsearch.vectors import pack, unit, unpack

DOCS = Path(__file__).resolve().parents[2] / "docs" / "vectors.md"
DIM = 24
N = 400


def embedded(n: int = N, seed: int = 0) -> np.ndarray:
    """Unit rows whose variance falls from direction to direction, off the origin."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(np.random.default_rng(99).standard_normal((DIM, DIM)))[0]
    return unit(((rng.standard_normal((n, DIM)) * np.arange(1, DIM + 1) ** -0.8) @ turned + 0.2).astype(np.float32))


def ids(n: int, prefix: str = "a") -> list[str]:
    return [f"{prefix}{i:05d}" for i in range(n)]


def frame_of(spark: SparkSession, image_ids: list[str], rows: np.ndarray) -> DataFrame:
    return spark.createDataFrame(pa.table({"image_id": image_ids, "embedding": pack(rows)}))


def add(warehouse: TableStore, image_ids: list[str], rows: np.ndarray) -> None:
    frame = frame_of(warehouse.spark, image_ids, rows).withColumn("encoder_id", F.lit("enc"))
    warehouse.append(EMBEDDINGS, frame.coalesce(1))


def make(spark: SparkSession, where: Path, image_ids: list[str], rows: np.ndarray) -> TableStore:
    """A warehouse that has come as far as ``embed``."""
    warehouse = TableStore.open(spark, str(where), create=True)
    encoder = spark.createDataFrame(
        [("enc", "tiny", DIM, "{}")], "encoder_id string, name string, dim int, settings string"
    )
    warehouse.append(ENCODERS, encoder.withColumn("created_at", F.current_timestamp()))
    add(warehouse, image_ids, rows)
    return warehouse


def stored_vectors(warehouse: TableStore, projection_id: str) -> tuple[list[str], np.ndarray]:
    fresh = TableStore.open(warehouse.spark, warehouse.location)
    table = vectors_of(fresh, projection_id).orderBy("image_id").toArrow()
    return table.column("image_id").to_pylist(), unpack(table.column("vector"))


def documented(where: str, first: int = 0) -> list[np.ndarray]:
    """What each block of Python in ``docs/vectors.md`` calls ``matrix``, rows in any order."""
    found = []
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[first:]:
        names: dict[str, object] = {"W": where}
        exec(block, names)
        found.append(names["matrix"])
    return found  # type: ignore[return-value]


def in_any_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(np.round(rows.T, 4))]


def test_from_the_first_fit_to_new_images_and_smaller_storage(spark: SparkSession, tmp_path: Path) -> None:
    rows = embedded()
    warehouse = make(spark, tmp_path / "w", ids(N), rows)
    where = warehouse.location
    first = compress.run(spark, CompressConfig(warehouse=where, n_components=10))
    assert (first.rows_in, first.rows_out, first.quarantined) == (N, N, 0)
    assert 0.5 < float(first.details["overlap_at_10"]) < 1
    _, projection = current_projection(warehouse, None)
    exact = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:10]
    assert np.abs((projection.components * exact).sum(axis=1)).min() > 1 - 1e-5
    found, vectors = stored_vectors(warehouse, projection.projection_id)
    assert found == ids(N)
    np.testing.assert_allclose(vectors, projection.apply(rows), atol=1e-6)

    # the same projection as MLlib's own model: its transform does not subtract the mean, ours does
    path = TableStore.open(spark, where).read(PROJECTIONS).select("path").collect()[0][0]
    model = PCAModel.load(path)
    np.testing.assert_allclose(model.pc.toArray().T, projection.components, atol=1e-7)
    np.testing.assert_allclose(model.explainedVariance.toArray(), projection.explained_variance_ratio, atol=1e-7)
    assert model.getK() == 10

    # new images: no new fit, and one that stands at the mean has no direction left
    more = np.vstack([embedded(20, seed=5), projection.mean[None]])
    add(warehouse, ids(21, "b"), more)
    second = compress.run(spark, CompressConfig(warehouse=where))
    assert (second.rows_in, second.rows_out, second.quarantined) == (21, 20, 1)
    assert second.details["projection_id"] == projection.projection_id
    refused = TableStore.open(spark, where).read(QUARANTINE).collect()
    assert [(r["image_id"], r["stage"], r["reason"]) for r in refused] == [("b00020", "compress", "no_direction")]
    found, vectors = stored_vectors(warehouse, projection.projection_id)
    assert len(found) == N + 20
    np.testing.assert_allclose(vectors[N:], projection.apply(more[:20]), atol=1e-6)

    blocks = documented(where)
    assert len(blocks) == 4
    for matrix in blocks:
        np.testing.assert_allclose(in_any_order(matrix), in_any_order(vectors), atol=1e-6)

    # a quarter of the bytes: the same components, other vectors, the loss told
    small = compress.run(spark, CompressConfig(warehouse=where, storage="int8"))
    assert (small.rows_in, small.rows_out, small.quarantined) == (N + 21, N + 20, 1)
    assert 0 < float(small.details["storage_error"]) < 0.03
    _, after = current_projection(TableStore.open(spark, where), None)
    assert after.storage == "int8"
    assert after.projection_id != projection.projection_id
    np.testing.assert_array_equal(after.components, projection.components)
    kept = (
        TableStore.open(spark, where).read(VECTORS).selectExpr("projection_id", "octet_length(vector) AS n").distinct()
    )
    assert [tuple(r) for r in kept.collect()] == [(after.projection_id, 10)]
    _, narrow = stored_vectors(warehouse, after.projection_id)
    np.testing.assert_allclose(np.linalg.norm(narrow, axis=1), 1, atol=1e-5)
    assert (narrow * vectors).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(in_any_order(documented(where, first=3)[0]), in_any_order(narrow), atol=1e-6)


def test_both_engines_find_the_same_subspace(spark: SparkSession) -> None:
    frame = frame_of(spark, ids(N), embedded()).repartition(3)
    moments = Moments.from_bytes(gather(frame.select("embedding"), moments_of_batches, merge_moments) or b"")
    ours, theirs = (compress.fit_with(engine, frame, moments, 12, "enc", 0.0) for engine in ("gram", "mllib"))
    assert np.abs((ours.components.astype(np.float64) * theirs.components).sum(axis=1)).min() >= 1 - 1e-6
    assert scipy.linalg.subspace_angles(ours.components.T, theirs.components.T).max() < 1e-3
    np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio, rtol=1e-4)
    assert (ours.engine, theirs.engine) == ("gram", "mllib")


def test_mllib_gets_the_same_numbers_in_small_batches() -> None:
    rows = np.random.default_rng(0).standard_normal((compress.MLLIB_ROWS + 3, 4)).astype(np.float32)
    batch = pa.RecordBatch.from_arrays([pack(rows)], names=["embedding"])
    lists = [part.column(0) for part in compress.row_lists(iter([batch, batch.slice(5, 2)]))]
    assert [len(part) for part in lists] == [compress.MLLIB_ROWS, 3, 2]
    assert [row for part in lists for row in part.to_pylist()] == [*rows.tolist(), *rows[5:7].tolist()]


def test_a_driver_too_small_for_mllib_is_told_before_it_dies(spark: SparkSession) -> None:
    with pytest.raises(UserError, match=r"--engine mllib: .* 20000-d .* --driver-memory \d+m, or leave the engine"):
        compress.refuse_small_heap(spark, 20_000)
    compress.refuse_small_heap(spark, 256)


@pytest.mark.parametrize(
    ("asked", "n_images", "message"),
    [
        (25, 100, "--n-components 25: the encoder gives 24 dimensions; ask for 24 or fewer"),
        (20, 10, "--n-components 20: there are 10 images; ask for 10 or fewer"),
        (None, 1, "there are 1 embeddings .copies of an image share one.: a projection needs at least two"),
    ],
)
def test_numbers_of_components_that_cannot_be_had(asked: int | None, n_images: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compress.n_components_for(asked, DIM, n_images)


def test_components_by_default() -> None:
    assert compress.n_components_for(None, 2048, 100_000) == 256
    assert compress.n_components_for(None, 24, 100_000) == 24
    assert compress.n_components_for(None, 2048, 10) == 9


def test_with_a_projection_embed_writes_vectors_too(spark: SparkSession, tiny: str, draw, tmp_path: Path) -> None:
    """The fused path gives what ``compress`` would have given, in the storage of the projection."""
    where, folder = str(tmp_path / "w"), tmp_path / "images"
    for i in range(12):
        draw(folder / f"{i}.png", kind=i)
    ingest.run(spark, IngestConfig(input=str(folder), warehouse=where))
    embed.run(spark, EmbedConfig(warehouse=where, encoder=tiny))
    compress.run(spark, CompressConfig(warehouse=where, n_components=5, storage="float16"))
    for i in range(12, 17):
        draw(folder / f"{i}.png", kind=i)
    ingest.run(spark, IngestConfig(input=str(folder), warehouse=where))
    assert embed.run(spark, EmbedConfig(warehouse=where, encoder=tiny)).rows_out == 5
    warehouse = TableStore.open(spark, where)
    encoder, projection = current_projection(warehouse, None)
    assert find_projection(warehouse, encoder.encoder_id) is not None
    found, vectors = stored_vectors(warehouse, projection.projection_id)
    assert len(found) == len(set(found)) == 17
    embeddings = warehouse.read(EMBEDDINGS).orderBy("image_id").toArrow()
    assert embeddings.column("image_id").to_pylist() == found
    np.testing.assert_allclose(vectors, projection.apply(unpack(embeddings.column("embedding"))), atol=1e-3)
    widths = warehouse.read(VECTORS).selectExpr("octet_length(vector) AS n").distinct().collect()
    assert [r["n"] for r in widths] == [10]
    assert compress.run(spark, CompressConfig(warehouse=where)).rows_in == 0
