"""Search on small frames: each option against the answer that NumPy gives by brute force."""

from __future__ import annotations

import csv
import os

import numpy as np
import pyarrow as pa
import pytest
from support.warehouses import DIM, an_id, clustered, make

import imgsearch
from imgsearch.clusters import layout
from imgsearch.config import NeighboursConfig, SearchConfig
from imgsearch.errors import UserError
from imgsearch.lake.shared import Inline
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import gallery_of
from imgsearch.retrieval import join, neighbours, search, spreading
from imgsearch.retrieval.ahead import Places, score_placed
from imgsearch.retrieval.diffusion import Seeds, spread
from imgsearch.retrieval.graph import lists_of, reciprocal
from imgsearch.retrieval.probes import nearest_clusters
from imgsearch.retrieval.searches import answers_of
from imgsearch.tables import CALIBRATIONS, GROUP_MATCHES, MATCHES, METRICS, QUARANTINE, SEARCHES, VECTORS
from imgsearch.vectors import pack, unit

N, N_CLUSTERS = 240, 12


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    before, layout.FILE_VECTORS = layout.FILE_VECTORS, 40
    vectors, clusters, centroids = clustered(N, N_CLUSTERS)
    yield make(spark, tmp_path_factory.mktemp("search") / "w", vectors, clusters, centroids)
    layout.FILE_VECTORS = before


@pytest.fixture(scope="module")
def queries(spark, made, tmp_path_factory):
    """A table of vectors near some of the gallery's; row i is near gallery row 7 * i."""
    rng = np.random.default_rng(5)
    vectors = unit(made.vectors[::7] + 0.05 * rng.standard_normal(made.vectors[::7].shape).astype(np.float32))
    where = str(tmp_path_factory.mktemp("queries") / "q")
    table = pa.table({"query_id": [f"q{i:03d}" for i in range(len(vectors))], "vector": pack(vectors)})
    spark.createDataFrame(table).write.format("delta").save(where)
    return where, vectors


def answer(made, vectors, top_k, keep=None):
    """[(row of the gallery, …)] by brute force: score descending, then id ascending."""
    keep = np.arange(N) if keep is None else keep
    ids = np.array(made.ids)[keep]
    scores = vectors @ made.vectors[keep].T
    return [ids[np.lexsort((ids, -row))[:top_k]].tolist() for row in scores]


def found(spark, made, spec=MATCHES):
    rows = answers_of(TableStore.open(spark, made.location), spec).orderBy("query_id", "rank").collect()
    by_query = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    return by_query


def ids_of(rows):
    return [[r["image_id"] for r in mine] for mine in rows.values()]


def test_where_min_score_and_a_file(spark, made, queries, tmp_path):
    where, vectors = queries
    out = tmp_path / "m.csv"
    config = SearchConfig(
        warehouse=made.location,
        queries=where,
        top_k=6,
        where="site = 'B' AND number >= 50",
        min_score=0.5,
        output=str(out),
    )
    summary = search.run(spark, config)
    keep = np.array([i for i in range(N) if i % 2 and i >= 50])
    got = found(spark, made)
    best = answer(made, vectors, 6, keep)
    scores = vectors @ made.vectors.T
    row_of = {image_id: i for i, image_id in enumerate(made.ids)}
    wanted = {}
    for q, mine in enumerate(best):
        above = [i for i in mine if scores[q, row_of[i]] >= 0.5]
        if above:
            wanted[f"q{q:03d}"] = above
    assert {q: [r["image_id"] for r in rows] for q, rows in got.items()} == wanted
    assert summary.details["gallery"] == str(len(keep))
    with out.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(rows) for rows in wanted.values())
    assert all(r["is_match"] is None for rows in got.values() for r in rows)


def test_a_query_by_id_does_not_find_itself_and_says_which_are_unknown(spark, made, tmp_path):
    file = tmp_path / "ids.csv"
    chosen = [3, 10, 77]
    file.write_text("image_id\n" + "\n".join([*(made.ids[i] for i in chosen), an_id("nobody")]))
    config = SearchConfig(warehouse=made.location, queries=str(file), top_k=4, exclude_self=True)
    summary = search.run(spark, config)
    assert (summary.rows_in, summary.rows_out, summary.quarantined) == (4, 3, 1)
    got = found(spark, made)
    for i in chosen:
        others = np.delete(np.arange(N), i)
        assert [r["image_id"] for r in got[made.ids[i]]] == answer(made, made.vectors[i : i + 1], 4, others)[0]
    refused = TableStore.open(spark, made.location).read(QUARANTINE).where("stage = 'search'").collect()
    assert [(r["image_id"], r["reason"]) for r in refused] == [(an_id("nobody"), "unknown_id")]


def test_few_clusters_are_read_and_the_recall_is_measured(spark, made, queries):
    where, vectors = queries
    warehouse = TableStore.open(spark, made.location)
    exact = answer(made, vectors, 5)
    summary = search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=5, nprobe=3))
    got = ids_of(found(spark, made))
    shares = [len(set(g) & set(e)) / 5 for g, e in zip(got, exact, strict=True)]
    assert float(summary.details["ann_recall_at_k"]) == pytest.approx(np.mean(shares), abs=1e-4)
    row = warehouse.read(METRICS).where("metric = 'ann_recall_at_k'").collect()
    assert [(r["k"], round(r["value"], 4)) for r in row] == [(5, round(float(np.mean(shares)), 4))]
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=5))
    assert ids_of(found(spark, made)) == exact
    assert warehouse.read(METRICS).where("metric = 'ann_recall_at_k'").count() == 0
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=5, nprobe=N_CLUSTERS, check_queries=0))
    assert ids_of(found(spark, made)) == exact


def test_one_query_reads_a_share_of_the_bytes(spark, made):
    warehouse = TableStore.open(spark, made.location)
    gallery = gallery_of(warehouse, made.projection.projection_id)
    book = layout.codebook(warehouse, made.projection.projection_id, "--nprobe")
    nearest = nearest_clusters(made.vectors[:1], book.centroids, book.cluster_ids, 1)
    every = {f: os.path.getsize(f.removeprefix("file:")) for f in gallery.inputFiles()}
    few = join.probed_rows(gallery, nearest).inputFiles()
    assert len(every) == N // 40
    assert sum(every[f] for f in few) <= sum(every.values()) / 2
    members = gallery.where(f"cluster_id = {nearest[0, 0]}").count()
    assert 0 < members == int((made.clusters == nearest[0, 0]).sum())


def test_recall_picks_nprobe(spark, made, queries):
    where, _ = queries
    summary = search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=5, recall=0.9))
    assert 1 <= int(summary.details["nprobe"]) < N_CLUSTERS
    assert float(summary.details["ann_recall_at_k"]) >= 0.8
    sure = search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=5, recall=1.0))
    assert int(sure.details["nprobe"]) >= int(summary.details["nprobe"])


def test_vectors_newer_than_the_clusters_are_found_by_every_query(spark, tmp_path):
    vectors, clusters, centroids = clustered(60, 4, seed=3)
    made = make(spark, tmp_path / "w", vectors, clusters, centroids)
    warehouse = TableStore.open(spark, made.location)
    new = unit(np.random.default_rng(1).standard_normal((1, DIM)).astype(np.float32))
    row = pa.table({"image_id": [an_id("new")], "projection_id": [made.projection.projection_id], "vector": pack(new)})
    warehouse.append(VECTORS, spark.createDataFrame(row))
    book = layout.codebook(warehouse, made.projection.projection_id, "--nprobe")
    far = nearest_clusters(-new, book.centroids, book.cluster_ids, 1)  # the cluster farthest from it
    gallery = gallery_of(warehouse, made.projection.projection_id)
    best = join.search(new, gallery, 1, nearest=far).collect()[0]
    assert best["score"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("best", [1, 3])
def test_groups_are_ranked_by_their_best_views(spark, made, queries, best):
    where, vectors = queries
    config = SearchConfig(warehouse=made.location, queries=where, top_k=3, group_by="EQUIPMENT", group_best=best)
    summary = search.run(spark, config)
    assert summary.details["group_by"] == "equipment"
    got = found(spark, made, GROUP_MATCHES)
    scores = (vectors @ made.vectors.T).astype(np.float64)
    views = np.sort(scores.reshape(len(vectors), N // 5, 5), axis=2)[:, :, ::-1][:, :, :best].mean(axis=2)
    for q in range(len(vectors)):
        rows = got[f"q{q:03d}"]
        ranked = sorted({(r["rank"], r["group_value"]) for r in rows})
        order = np.argsort(-views[q].astype(np.float32), kind="stable")[:3]
        assert [v for _, v in ranked] == [f"E{g:03d}" for g in order]
        assert len(rows) == 3 * best
        assert all(made.ids.index(r["image_id"]) // 5 == int(r["group_value"][1:]) for r in rows)


def test_groups_of_another_search_do_not_stand_beside_new_matches(spark, made, queries):
    where, _ = queries
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=3, group_by="equipment"))
    assert found(spark, made, GROUP_MATCHES)
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=3))
    assert not found(spark, made, GROUP_MATCHES)


def test_searches_stand_beside_each_other_until_they_are_too_many(spark, made, queries, tmp_path):
    where, vectors = queries
    warehouse = TableStore.open(spark, made.location)
    out = tmp_path / "m.csv"

    def run(name, top_k, **options):
        config = SearchConfig(
            warehouse=made.location, queries=where, top_k=top_k, search_id=name, output=str(out), **options
        )
        summary = search.run(spark, config)
        assert summary.details["search_id"] == name
        assert len(out.read_text().splitlines()) == 1 + top_k * len(vectors)
        return answers_of(warehouse, MATCHES, name).count()

    n = len(vectors)
    assert (run("one", 2), run("two", 3), run("one", 4)) == (2 * n, 3 * n, 4 * n)
    assert answers_of(warehouse, MATCHES, "two").count() == 3 * n
    assert answers_of(warehouse, MATCHES).count() == 4 * n  # the last
    row = warehouse.read(SEARCHES).where("search_id = 'one'").collect()
    assert [(r["n_queries"], r["n_matches"], r["top_k"], r["recall"]) for r in row] == [(n, 4 * n, 4, None)]
    assert row[0]["settings"]["queries"] == where
    assert row[0]["versions_read"]["vectors"] >= 0
    with pytest.raises(UserError, match=r"--search-id on: there is no such search .did you mean 'one'"):
        answers_of(warehouse, MATCHES, "on")
    assert run("three", 1, keep_searches=2, group_by="equipment") == n
    assert {r["search_id"] for r in warehouse.read(SEARCHES).collect()} == {"one", "three"}
    assert {r["search_id"] for r in warehouse.read(MATCHES).select("search_id").distinct().collect()} == {
        "one",
        "three",
    }
    assert answers_of(warehouse, GROUP_MATCHES, "three").count() == n
    assert answers_of(warehouse, GROUP_MATCHES, "one").isEmpty()
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=1, keep_searches=1))
    assert warehouse.read(MATCHES).count() == n
    assert warehouse.read(GROUP_MATCHES).isEmpty()


def test_expansion_is_the_average_with_what_was_found(spark, made, queries):
    where, vectors = queries
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=5, expand=2))
    scores = vectors @ made.vectors.T
    ids = np.array(made.ids)
    moved, first = [], []
    for q, row in enumerate(scores):
        best = np.lexsort((ids, -row))[:2]
        first.append(made.ids[best[0]])
        moved.append(vectors[q] + (np.clip(row[best], 0, None)[:, None] ** 3 * made.vectors[best]).sum(axis=0))
    plain = answer(made, unit(np.array(moved, np.float32)), 5)
    wanted = [[one, *(i for i in row if i != one)][:5] for one, row in zip(first, plain, strict=True)]
    assert ids_of(found(spark, made)) == wanted


def test_spreading_keeps_three_places_and_follows_the_lists(spark, made, queries, monkeypatch):
    """Against the arithmetic on all lists at once."""
    where, vectors = queries
    settings = {"warehouse": made.location, "queries": where, "spread": True}
    with pytest.raises(UserError, match=r"--spread: .* no lists of neighbours .* run `./spark-submit.sh neighbours"):
        search.run(spark, SearchConfig(**settings))
    neighbours.run(spark, NeighboursConfig(warehouse=made.location))
    order = np.argsort(made.ids)
    ids, gallery = np.array(made.ids)[order], made.vectors[order]
    scores = vectors @ gallery.T
    nearest = np.argsort(-scores, axis=1, kind="stable")
    seeds = Seeds(nearest[:, :3], np.take_along_axis(scores, nearest[:, :3], 1), np.full(len(vectors), -1))
    reached = spread(reciprocal(lists_of(gallery, 20)), seeds)
    whole = [
        list(dict.fromkeys([*near[:3], *(r for r in row if r >= 0), *near]))
        for near, row in zip(nearest.tolist(), reached.tolist(), strict=True)
    ]
    for most in (spreading.WHOLE, 1):  # the lists are read once, or as they are needed
        monkeypatch.setattr(spreading, "WHOLE", most)
        search.run(spark, SearchConfig(**settings, top_k=40))
        got = found(spark, made)
        assert ids_of(got) == [ids[row[:40]].tolist() for row in whole]
    assert ids_of(got) != [ids[row[:40]].tolist() for row in nearest]
    for q, rows in enumerate(got.values()):
        np.testing.assert_allclose([r["score"] for r in rows], scores[q, whole[q][:40]], atol=1e-6)


@pytest.mark.parametrize("batch_rows", [3, 100])
def test_images_that_come_first_are_scored_where_they_lie(batch_rows):
    vectors, _, _ = clustered(30, 3)
    ahead = np.array([[4, 9, -1], [9, 29, 0], [-1, -1, -1]])
    table = pa.table({"image_id": np.arange(30), "vector": pack(vectors)})
    places = Places.of(vectors[:3], ahead)
    batches = list(score_placed(Inline(places))(iter(table.to_batches(max_chunksize=batch_rows))))
    rows = pa.Table.from_batches(batches).to_pylist()
    expected = {(0, 4): 0, (0, 9): 1, (1, 9): 0, (1, 29): 1, (1, 0): 2}
    assert {(r["query_row"], r["image_key"]): r["place"] for r in rows} == expected
    for r in rows:
        assert r["score"] == pytest.approx(float(vectors[r["query_row"]] @ vectors[r["image_key"]]), abs=1e-6)


def test_the_calibrated_threshold_says_what_is_a_match(spark, made, queries):
    where, _ = queries
    warehouse = TableStore.open(spark, made.location)
    row = [(made.projection.projection_id, 0.9, 0.95, 0.96, 0.5, 10, 5, "test")]
    schema = "projection_id string, threshold float, wanted_precision float, precision float, recall float, n_pairs bigint, n_matching bigint, source string"  # noqa: E501
    warehouse.replace(CALIBRATIONS, spark.createDataFrame(row, schema))
    search.run(spark, SearchConfig(warehouse=made.location, queries=where, top_k=8))
    rows = answers_of(warehouse, MATCHES).collect()
    assert {r["is_match"] for r in rows} == {True, False}
    assert all(r["is_match"] == (r["score"] >= np.float32(0.9)) for r in rows)
    warehouse.delta(CALIBRATIONS).delete()


def test_the_answer_is_the_same_however_the_gallery_lies(spark, made):
    frame = gallery_of(TableStore.open(spark, made.location), made.projection.projection_id)
    answers = []
    for gallery in (frame.coalesce(1), frame.repartition(7), frame.repartition(3, "cluster_id")):
        rows = join.search(made.vectors[:9], gallery, 12).orderBy("query_row", "rank").collect()
        answers.append([tuple(r) for r in rows])
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 9 * 12


def test_many_queries_go_in_several_passes(spark, made, monkeypatch):
    frame = gallery_of(TableStore.open(spark, made.location), made.projection.projection_id)
    whole = [tuple(r) for r in join.search(made.vectors[:50], frame, 3).orderBy("query_row", "rank").collect()]
    monkeypatch.setattr(join, "queries_per_pass", lambda *_: 20)
    parts = join.search(made.vectors[:50], frame, 3)
    assert [tuple(r) for r in parts.orderBy("query_row", "rank").collect()] == whole


def test_from_a_notebook(spark, made):
    frame = gallery_of(TableStore.open(spark, made.location), made.projection.projection_id)
    some = frame.where(frame.image_id.isin(made.ids[:2]))
    rows = imgsearch.search(some, frame, 3, exclude_self=True).orderBy("query_id", "rank").collect()
    for i in range(2):
        mine = [r["image_id"] for r in rows if r["query_id"] == made.ids[i]]
        assert mine == answer(made, made.vectors[i : i + 1], 3, np.delete(np.arange(N), i))[0]
    with pytest.raises(UserError, match="has no column 'vector'"):
        imgsearch.search(some.drop("vector"), frame)


MISTAKES = {
    "column": ({"where": "sit = 'A'"}, r"no column 'sit' .did you mean 'site'\?"),
    "syntax": ({"where": "site = "}, "--where site = :"),
    "no row": ({"where": "site = 'Z'"}, "matches no image"),
    "values": ({"where": "CAST(path AS INT) = 1"}, "--where CAST.*; compare columns with values of their own type"),
    "types": ({"where": "number > 'many'"}, "--where number > 'many':"),
    "top_k": ({"top_k": 241}, "--top-k 241: the gallery has 240 images"),
    "top_k of few": ({"where": "number < 5", "top_k": 6}, "the gallery has 5 images for which --where holds"),
    "nprobe": ({"nprobe": 13}, "there are 12 clusters"),
    "group": ({"group_by": "equipmnt"}, r"--group-by equipmnt: the images have no column 'equipmnt' .did you mean"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line_and_nothing_is_written(spark, made, queries, mistake, capfd):
    options, message = MISTAKES[mistake]
    warehouse = TableStore.open(spark, made.location)
    before = warehouse.version(MATCHES) if warehouse.exists(MATCHES) else None
    with pytest.raises(UserError, match=message) as raised:
        search.run(spark, SearchConfig(warehouse=made.location, queries=queries[0], **options))
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""
    assert (warehouse.version(MATCHES) if warehouse.exists(MATCHES) else None) == before


def test_vectors_of_another_kind_are_refused(spark, made, tmp_path):
    short = pa.table({"query_id": ["a"], "vector": pack(np.ones((1, DIM - 1), np.float32))})
    other = pa.table({"projection_id": ["other"], "vector": pack(np.ones((1, DIM), np.float32))})
    nothing = pa.table({"vector": pack(np.zeros((1, DIM), np.float32))})
    numbers = pa.table({"vector": pa.array([[1.0] * 3], pa.list_(pa.float32()))})
    twice = pa.table({"query_id": ["a", "a"], "vector": pa.array([[1.0] * DIM] * 2)})
    long = pa.table({"vector": pack(np.ones((1, DIM), np.float32))})
    for name, table, message in (
        ("short", short, r"another dimension \(e.g. id 'a': 60 bytes, not 64\)"),
        ("other", other, "vectors of projection other"),
        ("nothing", nothing, r"has 1 zero vectors.* \(e.g. id 'row 1'\)"),
        ("numbers", numbers, "3 numbers, not 16"),
        ("twice", twice, r"has 1 ids more than once \(e.g. 'a'\)"),
        ("long", long, r"1 packed vectors that are not of unit length \(e.g. id 'row 1': length 4\)"),
    ):
        where = str(tmp_path / name)
        spark.createDataFrame(table).write.format("delta").save(where)
        with pytest.raises(UserError, match=message):
            search.run(spark, SearchConfig(warehouse=made.location, queries=where))


def test_a_projection_newer_than_the_vectors_and_no_clusters(spark, tmp_path, queries):
    vectors, _, _ = clustered(20, 2)
    made = make(spark, tmp_path / "w", vectors)
    with pytest.raises(UserError, match=r"--nprobe needs clusters; run `\./spark-submit\.sh cluster"):
        search.run(spark, SearchConfig(warehouse=made.location, queries=queries[0], nprobe=1))
    TableStore.open(spark, made.location).delta(VECTORS).delete()
    with pytest.raises(UserError, match=r"is newer than its vectors; run `\./spark-submit\.sh compress"):
        search.run(spark, SearchConfig(warehouse=made.location, queries=queries[0]))
