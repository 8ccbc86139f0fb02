"""Stages of a ``pyspark.ml.Pipeline``: parameters without a JVM; a pipeline and neighbours, saved and loaded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import imgsearch
from imgsearch.errors import UserError
from imgsearch.ml import CosineNeighbors, CosineNeighborsModel, CosineProjection, ImageEncoder
from imgsearch.ml.stage import lists_of_double, lists_of_float
from imgsearch.vectors import pack, rows_of

DOCS = Path(__file__).resolve().parent.parent / "docs" / "python.md"


def test_parameters_have_the_names_of_the_field() -> None:
    encoder = ImageEncoder(inputCol="file").setOutputCol("features")
    assert (encoder.getInputCol(), encoder.getOutputCol()) == ("file", "features")
    assert encoder.getOrDefault("encoder") == "efficientnet-lite0"
    assert CosineProjection(k=5, whitening=1).getOrDefault("whitening") == 1.0
    neighbors = CosineNeighbors().setParams(idCol="id", inputCol="features", k=3)
    assert neighbors.names()[:2] == ("id", "features")
    assert "neighbours per query" in neighbors.explainParams()
    assert neighbors.copy().getOrDefault("k") == 3


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"inputcol": "x"}, "ImageEncoder: no parameter 'inputcol' .did you mean 'inputCol'"),
        ({"inputCol": 3}, "ImageEncoder: inputCol 3: Could not convert"),
    ],
)
def test_a_slip_in_a_parameter_is_one_line(params: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        ImageEncoder(**params)
    assert "\n" not in str(raised.value)


def test_packed_vectors_as_lists() -> None:
    packed = pa.concat_arrays(
        [pa.array([None], pa.binary()), pack(np.float32([[1, 2], [3, 4]])), pa.array([None], pa.binary())]
    )
    for convert, kind in ((lists_of_float, pa.float32()), (lists_of_double, pa.float64())):
        assert convert(packed).to_pylist() == [None, [1, 2], [3, 4], None]
        assert convert(packed.slice(1, 2)).type == pa.list_(kind)
        assert convert(packed.slice(0, 1)).to_pylist() == [None]
        assert convert(packed.slice(0, 0)).to_pylist() == []


@pytest.fixture(scope="module")
def images(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, draw) -> DataFrame:
    """``file``: 12 pictures of three kinds, one that is no picture, and a null."""
    folder = tmp_path_factory.mktemp("ml")
    files = [str(draw(folder / f"{kind}-{visit}.png", kind, visit)) for kind in range(3) for visit in range(4)]
    (folder / "text.png").write_text("no picture")
    return spark.createDataFrame(pa.table({"file": [*files, str(folder / "text.png"), None]}))


def test_a_pipeline_from_files_to_vectors_is_saved_and_loaded(
    spark: SparkSession, images: DataFrame, tiny: str, tmp_path: Path
) -> None:
    encode = ImageEncoder(inputCol="file", encoder=tiny, vectorType="array")
    model = Pipeline(stages=[encode, CosineProjection(k=4, vectorType="binary")]).fit(images)
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    assert loaded.stages[0].getInputCol() == "file"
    table = loaded.transform(images).toArrow()
    assert table.column_names == ["file", "embedding", "error", "vector"]
    assert table.column("vector").null_count == table.column("embedding").null_count == 2
    errors = table.column("error").to_pylist()
    assert errors[:12] == [None] * 12
    assert errors[12].startswith("not_an_image: ")
    assert errors[13] == "null: there is no image"

    embeddings = rows_of(table.column("embedding").slice(0, 12)).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    centred = embeddings - embeddings.mean(axis=0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:4]
    expected = centred @ components.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = rows_of(table.column("vector").slice(0, 12))
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-4)
    assert loaded.stages[1].explainedVariance.shape == (4,)
    assert loaded.stages[1].projection.projection_id == model.stages[1].projection.projection_id


def test_the_blocks_of_the_documentation_run(spark: SparkSession, images: DataFrame, tiny: str, tmp_path: Path) -> None:
    """Those on frames of one's own; the block on a warehouse is what ``test_api`` and the notebook run."""
    folder = str(Path(images.first()["file"]).parent)
    names = {"spark": spark, "imgsearch": imgsearch, "photos": folder, "encoder": tiny, "W": str(tmp_path / "w")}
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks[1:]:
        exec(block, names)
    found = names["pairs"].orderBy("query_id", "rank").collect()
    assert [(row["query_id"], row["image_id"]) for row in found] == [(7, 8), (7, 9), (8, 7), (8, 9), (9, 8), (9, 7)]
    assert [round(row["score"], 4) for row in found[:2]] == [0.8, -0.6]
    assert names["vectors"].count() == 12
    nearest = names["nearest"].collect()
    assert len(nearest) == 2 * 3
    assert all(kind_of(row["query_id"]) == kind_of(row["image_id"]) for row in nearest)
    names["vectors"].unpersist()


def kind_of(path: str) -> str:
    return Path(path).name[0]


def test_neighbours_by_any_id_as_rows_and_as_a_column(spark: SparkSession, tmp_path: Path) -> None:
    rows = np.random.default_rng(5).normal(size=(30, 5))
    frame = spark.createDataFrame(
        pa.table({"id": np.arange(-15, 15), "features": pa.array(rows.tolist())})
    ).repartition(2)
    model = CosineNeighbors(idCol="id", inputCol="features", k=4, excludeSelf=True).fit(frame)
    model.write().overwrite().save(str(tmp_path / "neighbors"))
    loaded = CosineNeighborsModel.load(str(tmp_path / "neighbors"))
    assert loaded.getOrDefault("k") == 4
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -2)
    nearest = np.argsort(-scores, axis=1)[:, :4] - 15
    some = frame.where("id < -12")
    found = loaded.kneighbors(some).orderBy("query_id", "rank").collect()
    assert [row["image_id"] for row in found] == nearest[:3].reshape(-1).tolist()
    assert [row["rank"] for row in found] == [1, 2, 3, 4] * 3
    column = (
        loaded.transform(some.union(some.limit(1).selectExpr("99L", "CAST(NULL AS array<double>)")))
        .orderBy("id")
        .collect()
    )
    assert [[n["image_id"] for n in row["neighbors"]] for row in column[:3]] == nearest[:3].tolist()
    assert column[3]["neighbors"] is None
    assert column[0]["neighbors"][0]["score"] == pytest.approx(scores[0].max(), abs=1e-5)


def test_mistakes_are_one_line(spark: SparkSession) -> None:
    frame = spark.range(3).withColumn("vector", F.array(F.lit(1.0), F.lit(2.0)))
    wide = frame.withColumn("vector", F.array(F.lit(1.0)))
    for call, said in (
        (
            lambda: CosineNeighbors().fit(frame),
            "CosineNeighbors: has no column 'image_id'.*; .*idCol=…",
        ),
        (lambda: CosineNeighbors(idCol="id", k=0).fit(frame), "CosineNeighbors: top_k 0: must be"),
        (lambda: CosineProjection().fit(frame), "CosineProjection: has no column 'embedding'"),
        (lambda: CosineProjection(inputCol="vector", k=0).fit(frame), "CosineProjection: k 0: must be at least 1"),
        (lambda: CosineProjection(inputCol="vector").fit(frame), "CosineProjection: all 3 embeddings are the same"),
        (
            lambda: CosineProjection(inputCol="vector").fit(frame.union(wide)),
            "CosineProjection: has 3 vectors of another dimension",
        ),
        (lambda: ImageEncoder().transform(frame), "ImageEncoder: there is no column 'path'"),
        (lambda: ImageEncoder(inputCol="id").transform(frame), "the column 'id' is bigint; give paths"),
        (lambda: ImageEncoder(inputCol="id", encoder="nothing").transform(frame.selectExpr("'x' AS id")), "nothing"),
    ):
        with pytest.raises(UserError, match=said) as raised:
            call()
        assert "\n" not in str(raised.value)
