"""``compress --labels`` on small warehouses: learned and adopted beside the plain projection, or declined in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.feature import PCAModel
from pyspark.sql import SparkSession
from support.planted import with_kinds, with_nuisance
from support.warehouses import Made, make

from imgsearch.config import CompressConfig, SearchConfig
from imgsearch.errors import UserError
from imgsearch.lake.store import TableStore
from imgsearch.preflight import check_paths
from imgsearch.projections import compress
from imgsearch.projections.adoption import compare, learn
from imgsearch.projections.learning import learn_projection, named_images, tell
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.projections.wccn import combined
from imgsearch.retrieval import search
from imgsearch.tables import IMAGE_LABELS, MATCHES, METRICS, PROJECTIONS, VECTORS
from imgsearch.vectors import unpack


def names_file(where: Path, made: Made, classes: np.ndarray, rows: np.ndarray) -> str:
    """Images named by path or by id, one that is not there, one without a name, and one named twice."""
    keys = [made.ids[i] if i % 2 else f"{i:05d}.jpg" for i in rows]
    lines = [f"{key},class {classes[i]:02d}" for key, i in zip(keys, rows, strict=True)]
    where.write_text("\n".join(["path,label", *lines, "nowhere.jpg,x", f"{made.ids[-1]},", f"{keys[0]},other"]) + "\n")
    return str(where)


def projection_ids(warehouse: TableStore, spec) -> set[str]:
    return {row[0] for row in warehouse.read(spec).select("projection_id").distinct().collect()}


def matches_of(spark: SparkSession, where: str, ids: Path, encoder: str) -> list[tuple[str, str]]:
    config = SearchConfig(warehouse=where, queries=str(ids), top_k=3, exclude_self=True, encoder=encoder)
    search.run(spark, config)
    rows = TableStore.open(spark, where).read(MATCHES).orderBy("query_id", "rank")
    return [(r["query_id"], r["image_id"]) for r in rows.collect()]


def nearest(vectors: np.ndarray, ids: list[str], row: int) -> list[tuple[str, str]]:
    scores = vectors @ vectors[row]
    scores[row] = -np.inf
    return [(ids[row], ids[i]) for i in np.argsort(-scores)[:3]]


def test_a_learned_projection_stands_beside_the_plain_one(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors, classes = with_nuisance(0)
    made = make(spark, tmp_path / "w", vectors)
    where, plain = made.location, made.projection
    named = np.flatnonzero(classes < 12)

    # adopted, as plain functions say
    file = names_file(tmp_path / "names.csv", made, classes, named)
    summary = compress.run(spark, CompressConfig(warehouse=where, labels=file))
    order = named[np.argsort([made.ids[i] for i in named])]
    comparison = compare(vectors[order], classes[order])
    expected = combined(plain, learn(vectors[order], classes[order], comparison.shrinkage))
    assert (summary.rows_in, summary.rows_out) == (len(vectors), len(vectors))
    assert summary.details["learned"] == "adopted"
    warehouse = TableStore.open(spark, where)
    _, learned = current_projection(warehouse, None)
    assert (learned.engine, learned.storage) == ("gram+wccn", "float32")
    np.testing.assert_allclose(learned.components, expected.components, atol=1e-5)
    table = vectors_of(warehouse, learned.projection_id).orderBy("image_id").toArrow()
    mapped = expected.apply(vectors)
    by_id = np.argsort(made.ids)
    np.testing.assert_allclose(unpack(table.column("vector")), mapped[by_id], atol=1e-5)
    path = (
        warehouse.read(PROJECTIONS).where(f"projection_id = '{learned.projection_id}'").select("path").collect()[0][0]
    )
    np.testing.assert_allclose(PCAModel.load(path).pc.toArray().T, learned.components, atol=1e-6)
    metrics = {(r["metric"], r["k"]): r["value"] for r in warehouse.read(METRICS).collect()}
    assert len(metrics) == 8
    unseen = np.nanmean(comparison.unseen.average_precision)
    assert metrics["projection_learned_unseen_map", None] == pytest.approx(unseen, abs=1e-4)
    assert metrics["projection_plain_unseen_precision_at_k", 1] == np.nanmean(comparison.plain.precision_at_1)
    assert f"{unseen:.4f}" in capsys.readouterr().out

    # the plain one can still be searched
    ids = tmp_path / "ids.csv"
    ids.write_text(f"image_id\n{made.ids[-3]}\n")
    last = len(vectors) - 3
    assert matches_of(spark, where, ids, plain.projection_id) == nearest(vectors, made.ids, last)
    assert nearest(mapped, made.ids, last) != nearest(vectors, made.ids, last)

    # too few names in the table: one line, the plain projection is the latest again, and the learned one goes
    rows = [(made.ids[i], f"/p/{i}", f"class {classes[i]:02d}", "person") for i in named[:18]]
    rows += [(made.ids[i], f"/p/{i}", "a cluster's name", "cluster") for i in np.flatnonzero(classes >= 12)]
    labels = spark.createDataFrame(rows, "image_id string, path string, label string, origin string")
    warehouse.append(IMAGE_LABELS, labels)
    declined = compress.run(spark, CompressConfig(warehouse=where, labels="table"))
    assert (declined.rows_in, declined.details["learned"]) == (0, "declined")
    assert any("no projection was learned: 18 named images in 4 classes" in note for note in declined.notes)
    warehouse = TableStore.open(spark, where)
    assert projection_ids(warehouse, VECTORS) == {plain.projection_id}
    assert current_projection(warehouse, None)[1].projection_id == plain.projection_id
    with pytest.raises(UserError, match="a later projection took its place"):
        current_projection(warehouse, learned.projection_id)


def test_names_that_do_not_help_are_declined(spark: SparkSession, tmp_path: Path) -> None:
    vectors, classes = with_kinds(0)
    made = make(spark, tmp_path / "w", vectors)
    warehouse = TableStore.open(spark, made.location)
    with pytest.raises(UserError, match=r"--labels table: no image in .* was named by a person"):
        named_images(warehouse, "table")
    for text, message in (("label\nx", "has no column 'path' or 'image_id'"), ("path,label\nno.jpg,x", "none of its")):
        (tmp_path / "bad.csv").write_text(text + "\n")
        with pytest.raises(UserError, match=message):
            named_images(warehouse, str(tmp_path / "bad.csv"))
    file = names_file(tmp_path / "names.csv", made, classes, np.arange(len(vectors)))
    learned = learn_projection(warehouse, named_images(warehouse, file), made.projection)
    assert learned.projection is None
    assert "the learned projection was declined: unseen classes mAP -" in learned.note
    assert tell(warehouse, learned)["learned"] == "declined"
    assert warehouse.read(METRICS).count() == 8


def test_the_word_table_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "images" / "_delta_log").mkdir(parents=True)
    check_paths("compress", CompressConfig(warehouse=str(tmp_path), labels="table"))
    with pytest.raises(UserError, match="--labels tabel: No such file"):
        check_paths("compress", CompressConfig(warehouse=str(tmp_path), labels="tabel"))
