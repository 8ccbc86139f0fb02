"""The truth as joins: names, retrieval quality by either way, agreement; against what plain loops say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import normalized_mutual_info_score
from support.warehouses import an_id, clustered, make

from imgsearch.config import EvaluateConfig
from imgsearch.errors import UserError
from imgsearch.images.image_names import csv_frame, resolved, some_name
from imgsearch.labels import evaluate, retrieval_quality
from imgsearch.labels.agreement import search_metrics
from imgsearch.lake import csv_files
from imgsearch.lake.store import TableStore
from imgsearch.retrieval.diffusion import spread_each
from imgsearch.retrieval.expansion import expand_each
from imgsearch.retrieval.graph import lists_of
from imgsearch.tables import METRICS
from imgsearch.topk import quality

N = 240


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    vectors, clusters, centroids = clustered(N, 6, seed=3, spread=0.5)
    return make(spark, tmp_path_factory.mktemp("evaluate") / "w", vectors, clusters, centroids)


@pytest.fixture(scope="module")
def classes(made):
    rng = np.random.default_rng(1)
    return np.where(rng.random(N) < 0.2, rng.integers(0, 6, N), made.clusters // 3)


@pytest.fixture(scope="module")
def truth(classes, tmp_path_factory):
    """Every way to name an image, a row that names none, and one image named twice: the first name counts."""
    names = [(f"/pictures/{i:05d}.jpg", f"{i:05d}.jpg", f"./{i:05d}.jpg", an_id(i))[i % 4] for i in range(N)]
    rows = [f"{name},kind {c}" for name, c in zip(names, classes, strict=True)] + ["nowhere.jpg,x", f"{an_id(1)},y"]
    path = tmp_path_factory.mktemp("truth") / "truth.csv"
    path.write_text("path,label\n" + "\n".join(rows) + "\n")
    return path


def in_order(made):
    return np.argsort(made.ids)


def test_retrieval_and_agreement_are_those_of_plain_loops(spark, made, classes, truth, tmp_path, capsys):
    out = tmp_path / "m.csv"
    config = EvaluateConfig(
        warehouse=made.location, truth=str(truth), expand=3, spread=True, compare=True, output=str(out)
    )
    learned = [("projection_learned_seen_map", None, 0.5, None)]  # of `compress --labels`: stays
    warehouse = TableStore.open(spark, made.location)
    warehouse.append(METRICS, spark.createDataFrame(learned, METRICS.schema))
    summary = evaluate.run(spark, config)
    rows = {(r["metric"], r["k"]): r["value"] for r in TableStore.open(spark, made.location).read(METRICS).collect()}
    order = in_order(made)
    vectors, labels = made.vectors[order], classes[order]
    lists, every = lists_of(vectors, 10), np.arange(N)
    asked = {
        "": {},
        "expanded_": {"queries": expand_each(vectors, 3), "ahead": lists.neighbours[:, :1]},
        "spread_": {"ahead": spread_each(lists, every)},
    }
    for prefix, how in asked.items():
        expected = quality.retrieval(vectors, labels, (1, 5, 10), **how)
        for place, cut in enumerate((1, 5, 10)):
            for name in ("precision_at_k", "hit_rate_at_k"):
                value = np.nanmean(getattr(expected, name)[:, place])
                assert rows[f"{prefix}{name}", cut] == pytest.approx(value, abs=1e-9)
        assert rows[f"{prefix}map", None] == pytest.approx(np.nanmean(expected.average_precision), abs=1e-6)
    for way, prefix in (("plain", ""), ("expand_3", "expanded_"), ("spread", "spread_")):
        assert rows[f"compared_{way}_map", None] == pytest.approx(rows[f"{prefix}map", None], abs=1e-6)
        assert rows[f"compared_{way}_precision_at_k", 10] == pytest.approx(rows[f"{prefix}precision_at_k", 10])
    own = made.clusters // 3
    commonest = sum(np.bincount(classes[own == c]).max() for c in np.unique(own))
    assert rows["purity", None] == pytest.approx(commonest / N)
    assert rows["nmi", None] == pytest.approx(normalized_mutual_info_score(classes, own))
    assert summary.rows_in == N
    assert summary.notes == ("1 rows of the truth name no ingested image",)
    assert rows.pop(("projection_learned_seen_map", None)) == 0.5
    assert len(out.read_text().splitlines()) == len(rows) + 1
    printed = capsys.readouterr().out
    assert "whitening .25, spread" in printed
    assert "\nchoose " in printed


@pytest.mark.parametrize("n_queries", [N, 60])
def test_a_gallery_too_large_to_broadcast_gives_the_same(spark, made, classes, monkeypatch, n_queries):
    frame = spark.createDataFrame(
        pa.table(
            {"image_id": made.ids, "class": classes.astype(np.int64), "vector": [v.tobytes() for v in made.vectors]}
        )
    )
    labelled = retrieval_quality.Labelled(frame, N, n_queries)
    exact = {m: retrieval_quality.quality(labelled, m) for m in (0, 2)}
    monkeypatch.setattr(retrieval_quality, "EXACT", 10)
    monkeypatch.setattr(retrieval_quality, "QUERIES_A_PASS", 64)
    for m, expected in exact.items():
        counted = retrieval_quality.quality(labelled, m)
        tolerance = 1e-9 if n_queries == N else 0.2  # a share of all hashes is not the same number of images
        for name in ("precision_1", "precision_10", "hit_rate_5"):
            assert counted[name].value == pytest.approx(expected[name].value, abs=tolerance)
        assert counted["ap"].value == pytest.approx(expected["ap"].value, abs=max(tolerance, 2e-3))
        assert counted["ap_low"].value <= counted["ap"].value <= counted["ap_high"].value
        assert (counted["precision_5"].error > 0) == (n_queries < N)


def test_diffusion_is_measured_on_a_part_of_very_many_images(spark, made, classes, monkeypatch):
    table = pa.table({"image_id": made.ids, "class": classes, "vector": [v.tobytes() for v in made.vectors]})
    labelled = retrieval_quality.Labelled(spark.createDataFrame(table), N, N)
    assert retrieval_quality.part(labelled) is labelled
    monkeypatch.setattr(retrieval_quality, "EXACT", 100)
    with pytest.raises(ValueError, match="240 labelled images: diffusion is measured on 100 at most"):
        retrieval_quality.quality(labelled, spread=True)
    some = retrieval_quality.part(labelled)
    order = in_order(made)[: some.size]
    assert 60 < some.size <= 100
    ahead = spread_each(lists_of(made.vectors[order], 10), np.arange(some.size))
    expected = quality.retrieval(made.vectors[order], classes[order], (1,), ahead=ahead)
    measured = retrieval_quality.quality(some, spread=True)["ap"].value
    assert measured == pytest.approx(np.nanmean(expected.average_precision), abs=1e-6)


def test_a_search_is_judged_by_the_longest_path_that_the_truth_has(spark):
    truth = spark.createDataFrame([("i1", "a"), ("i2", "b")], "image_id string, label string")
    of_path = spark.createDataFrame([("x/q.jpg", "a"), ("q.jpg", "b"), ("r.jpg", "b")], "path string, label string")
    rows = [("/data/x/q.jpg", 1, "i1"), ("/data/x/q.jpg", 2, "i2"), ("/data/r.jpg", 1, "i1"), ("/data/s.jpg", 1, "i1")]
    matches = spark.createDataFrame(rows, "query_path string, rank int, image_id string")
    found = {(name, k): value for name, k, value in search_metrics(matches, truth, of_path, (1, 2))}
    assert found["search_precision_at_k", 1] == pytest.approx(0.5)
    assert found["search_precision_at_k", 2] == pytest.approx(0.25)
    assert found["search_hit_rate_at_k", 2] == pytest.approx(0.5)


def test_names_are_found_in_files_of_more_than_a_block(spark, made, truth, classes, monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_ROWS", 50)
    warehouse = TableStore.open(spark, made.location)
    images = spark.createDataFrame(
        [(an_id(i), f"/pictures/{i:05d}.jpg", "/pictures") for i in range(N)],
        "image_id string, path string, source string",
    )
    rows = resolved(csv_frame(warehouse, str(truth), "truth", ["path"]), images, "path").orderBy("line").collect()
    assert [r["line"] for r in rows] == list(range(2, N + 4))
    assert [r["image_id"] for r in rows[:N]] == made.ids
    assert rows[N]["image_id"] is None
    assert [r["label"] for r in rows[:N]] == [f"kind {c}" for c in classes]
    assert some_name(images) == "00000.jpg"


def test_a_truth_that_cannot_be_used_is_told(spark, made, tmp_path):
    truth = tmp_path / "t.csv"
    for text, message in (
        ("path,label\nnowhere.jpg,a\n", "none of its 1 paths is an ingested image"),
        ("path,label\n00001.jpg,a\n", "only 1 of its images have vectors"),
        ("path,label\n00001.jpg,a\n00002.jpg,b\n00003.jpg,c\n", "every label has one image only"),
    ):
        truth.write_text(text)
        with pytest.raises(UserError, match=message):
            evaluate.run(spark, EvaluateConfig(warehouse=made.location, truth=str(truth)))
