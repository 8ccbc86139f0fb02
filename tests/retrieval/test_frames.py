"""The join on frames of one's own: every kind of id and of vector against NumPy, and mistakes in one line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import imgsearch
from imgsearch.errors import UserError
from imgsearch.vectors import pack

N, DIM, K = 40, 6, 7
IDS = {
    "sha256": [f"{i * 37 % N:02x}" + "e" * 62 for i in range(N)],
    "offset": [i * 37 % N - 20 for i in range(N)],
    "hash": [f"photo {i} of a long series" for i in range(N)],
    "prefix": [f"frame-{i * 37 % N:03d}" for i in range(N)],
}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """(N, DIM) rows of any length; some are the same, so that ids break ties."""
    rows = np.random.default_rng(1).normal(size=(N, DIM)).astype(np.float32) * 20
    rows[30:] = rows[:10]
    return rows


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)


def expected(rows: np.ndarray, ids: list, query: int, leave_out: object = None) -> list:
    scores = np.round(unit(rows) @ unit(rows)[query], 5)
    order = sorted(range(N), key=lambda i: (-scores[i], ids[i]))
    return [ids[i] for i in order if ids[i] != leave_out][:K]


def frame_of(spark: SparkSession, ids: list, rows: np.ndarray, kind: str) -> DataFrame:
    """``doc.id`` (a name with a dot) and ``v`` of this kind."""
    vectors = pack(unit(rows).astype(np.float32)) if kind == "binary" else pa.array(rows.tolist())
    frame = spark.createDataFrame(pa.table({"doc.id": pa.array(ids), "v": vectors})).repartition(3)
    column = F.col("v")
    if kind == "vector":
        column = F.when(column.isNotNull(), array_to_vector("v"))
    elif kind != "binary":
        column = column.cast(kind)
    return frame.withColumn("v", column)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [("sha256", "binary"), ("offset", "array<float>"), ("hash", "array<double>"), ("prefix", "vector")],
)
def test_any_id_and_any_vector(spark: SparkSession, rows: np.ndarray, ids: str, kind: str) -> None:
    gallery = frame_of(spark, IDS[ids], rows, kind)
    queries = gallery.where(F.col("`doc.id`").isin(IDS[ids][:4]))
    found = imgsearch.search(queries, gallery, K, id_column="doc.id", vector_column="v", exclude_self=True)
    assert dict(found.dtypes)["image_id"] == dict(gallery.dtypes)["doc.id"] == dict(found.dtypes)["query_id"]
    answer = found.orderBy("query_id", "rank").collect()
    for query in range(4):
        mine = [r for r in answer if r["query_id"] == IDS[ids][query]]
        assert [r["rank"] for r in mine] == list(range(1, K + 1))
        assert mine[0]["score"] == pytest.approx(1, abs=1e-5)  # its twin
        truth = expected(rows, IDS[ids], query, leave_out=IDS[ids][query])
        if ids == "hash":  # equal scores are in the order of the hash
            assert {r["image_id"] for r in mine[:-2]} == set(truth[:-2])
        else:
            assert [r["image_id"] for r in mine] == truth


def test_mistakes_are_one_line_before_the_join(spark: SparkSession, rows: np.ndarray) -> None:
    good = frame_of(spark, IDS["prefix"], rows, "array<float>")
    bad = good.limit(3)
    zero, nan = F.transform("v", lambda x: x * 0), F.transform("v", lambda x: x * float("nan"))
    names = {"id_column": "doc.id", "vector_column": "v"}
    for queries, gallery, said in (
        (good, good.union(bad.withColumn("v", zero)), r"the gallery: has 3 zero vectors.*\(e.g. id 'frame-"),
        (good, good.union(bad), "the gallery: has 3 ids more than once"),
        (bad.withColumn("v", nan), good, "the queries: has 3 vectors with NaN"),
        (bad.withColumn("v", F.slice("v", 1, 4)), good, "the queries: vectors have 4 numbers, those of the gallery 6"),
        (bad.union(bad), good, "the queries: has 3 ids more than once"),
        (bad.withColumn("v", F.lit("x")), good, "the queries: the vector column 'v' is string"),
        (bad.withColumn("doc.id", F.lit(1)), good, "the queries: ids are int, those of the gallery string"),
    ):
        with pytest.raises(UserError, match=said) as raised:
            imgsearch.search(queries, gallery, 3, exclude_self=True, **names)
        assert "\n" not in str(raised.value)
    empty = imgsearch.search(good.limit(0), good, 3, **names)
    assert empty.columns == ["query_id", "rank", "image_id", "score"]
    assert empty.count() == 0
