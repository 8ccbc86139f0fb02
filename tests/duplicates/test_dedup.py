"""Duplicates, leaks and calibration on small frames, against what brute force says."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from support.warehouses import DIM, an_id, clustered, make

from imgsearch.config import CalibrateConfig, DedupConfig
from imgsearch.duplicates import dedup
from imgsearch.errors import UserError
from imgsearch.labels import calibrate
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.lake.store import TableStore
from imgsearch.tables import CALIBRATIONS, DUPLICATES, IMAGES, LABELS, LEAKS
from imgsearch.vectors import unit

THRESHOLD = 0.95


def family(n_scenes, each, spread, seed):
    """Scenes seen several times: (n_scenes * each, DIM) unit vectors."""
    rng = np.random.default_rng(seed)
    scenes = np.repeat(unit(rng.standard_normal((n_scenes, DIM)).astype(np.float32)), each, axis=0)
    return unit((scenes + spread * rng.standard_normal(scenes.shape)).astype(np.float32))


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    """Chains (each vector near the next), loose families, a crowd of near-identical frames, and copies of files."""
    angles = np.linspace(0, 1.4, 15)
    chain = np.zeros((15, DIM), np.float32)
    chain[:, 0], chain[:, 1] = np.cos(angles), np.sin(angles)
    crowd = family(1, 300, 0.002, 3)
    vectors = np.concatenate([chain, family(30, 4, 0.06, 1), family(40, 1, 0.1, 2), crowd])
    _, _, centroids = clustered(1, 8, seed=4)
    clusters = np.argmax(vectors @ centroids.T, axis=1)
    paths = {"/copies/a.jpg": an_id(0), "/copies/b.jpg": an_id(150), "/copies/c.jpg": an_id(150)}
    return make(spark, tmp_path_factory.mktemp("dedup") / "w", vectors, clusters, centroids, paths=paths)


def test_groups_have_no_chains_and_no_near_pair_is_left_apart(spark, made, tmp_path):
    out = tmp_path / "d.csv"
    summary = dedup.run(spark, DedupConfig(warehouse=made.location, threshold=THRESHOLD, output=str(out)))
    rows = TableStore.open(spark, made.location).read(DUPLICATES).collect()
    row_of = {image_id: i for i, image_id in enumerate(made.ids)}
    group_of = {}
    for row in rows:
        mine, head = row_of[row["image_id"]], row_of[row["representative_id"]]
        score = float(made.vectors[mine] @ made.vectors[head])
        assert score >= THRESHOLD - 1e-6
        assert row["score"] == pytest.approx(score, abs=1e-5)
        group_of[mine] = head
    for members in {}.fromkeys(group_of.values()):
        assert group_of[members] == members  # a representative stands for itself
    heads = sorted(set(group_of.values()) | (set(range(len(made.ids))) - set(group_of)))
    scores = made.vectors[heads] @ made.vectors[heads].T - 2 * np.eye(len(heads))
    assert scores.max() < THRESHOLD  # whoever is in no group, or leads one, is near no other such
    assert len({group_of[i] for i in range(175, len(made.ids))}) == 1  # the crowd is one group
    assert int(summary.details["groups"]) == len({r["representative_id"] for r in rows})
    assert len(out.read_text().splitlines()) == len(rows) + 1


def test_copies_are_told_from_near_copies(spark, made):
    dedup.run(spark, DedupConfig(warehouse=made.location, threshold=THRESHOLD))
    rows = TableStore.open(spark, made.location).read(DUPLICATES).collect()
    by_path = {r["path"]: r for r in rows}
    assert len(by_path) == len(rows)
    twins = [by_path[p] for p in ("/pictures/00150.jpg", "/copies/b.jpg", "/copies/c.jpg")]
    assert len({r["representative_id"] for r in twins}) == 1
    if twins[0]["representative_id"] == an_id(150):
        assert sorted(r["kind"] for r in twins) == ["copy", "copy", "representative"]
    sizes = {}
    for row in rows:
        sizes.setdefault(row["representative_id"], []).append(row)
    assert all(r["group_size"] == len(group) >= 2 for group in sizes.values() for r in group)
    assert all([r["kind"] for r in group].count("representative") == 1 for group in sizes.values())


def test_what_somebody_said_is_not_the_same_is_in_no_group_together(spark, made):
    """One of a group, and a whole representative; an undo counts, and other groups stay as they are."""
    config = DedupConfig(warehouse=made.location, threshold=THRESHOLD)
    store = TableStore.open(spark, made.location)

    def groups():
        dedup.run(spark, config)
        found = {}
        for row in store.read(DUPLICATES).collect():
            found.setdefault(row["representative_id"], set()).add(row["image_id"])
        return found

    before = {head: ids for head, ids in groups().items() if len(ids) > 2}
    (one, ones), (two, twos), *others = sorted(before.items(), key=lambda item: len(item[1]))
    odd = min(ones - {one})
    now, folder = datetime(2026, 1, 1, tzinfo=UTC), DeltaFolder.open(made.location)
    rows = [("1", "not_same", [odd, *sorted(ones - {odd})], None),
            ("2", "not_same", [two, *sorted(twos - {two})], None),
            ("3", "not_same", sorted(others[-1][1]), None), ("4", "undo", [], "3")]  # fmt: skip
    folder.append(LABELS, [
        {"label_id": i, "made_at": now, "made_by": "ann", "kind": "copies", "action": action, "image_ids": ids,
         "undoes": undoes}
        for i, action, ids, undoes in rows
    ])  # fmt: skip
    after = groups()
    assert odd not in set().union(*after.values())
    assert after[one] == ones - {odd}
    assert two not in after
    rest = [ids for ids in after.values() if ids & twos]
    row_of = {image_id: i for i, image_id in enumerate(made.ids)}
    for head, ids in after.items():  # those that its representative left are grouped by their own likeness
        assert all(made.vectors[row_of[i]] @ made.vectors[row_of[head]] >= THRESHOLD - 1e-6 for i in ids)
    assert all(ids <= twos - {two} for ids in rest)
    assert {head: after[head] for head, _ in others} == dict(others)


@pytest.mark.parametrize("same_projection", [True, False])
def test_what_two_warehouses_share(spark, made, tmp_path, same_projection):
    rng = np.random.default_rng(9)
    near = unit(made.vectors[40:44] + 0.01 * rng.standard_normal((4, DIM)).astype(np.float32))
    vectors = np.concatenate([near, made.vectors[50:51], family(6, 1, 0.1, 77)])
    ids = [an_id(f"other {i}") for i in range(len(vectors))]
    ids[4] = an_id(50)  # the same file
    centroids, clusters = None, None
    if same_projection:
        _, _, centroids = clustered(1, 3, seed=5)
        clusters = np.argmax(vectors @ centroids.T, axis=1)
    other = make(spark, tmp_path / "other", vectors, clusters, centroids, ids=ids)
    warehouse = TableStore.open(spark, other.location)
    if not same_projection:
        from imgsearch.tables import VECTORS

        warehouse.delta(VECTORS).delete()
    dedup.run(spark, DedupConfig(warehouse=made.location, threshold=0.99, against=other.location))
    rows = TableStore.open(spark, made.location).read(LEAKS).collect()
    wanted = {(made.ids[i], ids[j]) for i, j in zip(*np.nonzero(made.vectors @ vectors.T >= 0.99), strict=True)}
    assert {(r["image_id"], r["other_id"]) for r in rows} == wanted
    assert {r["image_id"] for r in rows if r["kind"] == "copy"} == {an_id(50)}
    assert all(r["other_warehouse"] == other.location for r in rows)


def test_dedup_without_clusters_says_what_to_run(spark, tmp_path):
    vectors, _, _ = clustered(10, 2)
    made = make(spark, tmp_path / "w", vectors)
    with pytest.raises(UserError, match="dedup needs clusters; run"):
        dedup.run(spark, DedupConfig(warehouse=made.location))


def test_the_threshold_is_learnt_from_labels_and_from_pairs(spark, made, tmp_path):
    rows = [(f"{i:05d}.jpg", (i - 15) // 4) for i in range(15, 135)]
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\n" + "\n".join(f"{p},scene {s}" for p, s in rows))
    calibrate.run(spark, CalibrateConfig(warehouse=made.location, truth=str(labels), target_precision=0.9))
    scores = made.vectors[15:135] @ made.vectors[15:135].T
    np.fill_diagonal(scores, -1)
    scores, same = scores.max(axis=1), (np.arange(120) // 4)[scores.argmax(axis=1)] == np.arange(120) // 4
    kept = TableStore.open(spark, made.location).read(CALIBRATIONS).collect()
    assert len(kept) == 1
    assert (kept[0]["n_pairs"], kept[0]["n_things"]) == (120, 30)
    assert 0 <= kept[0]["other_things_precision"] <= 1
    above = scores >= kept[0]["threshold"] - 1e-6
    assert same[above].mean() >= 0.9
    assert kept[0]["recall"] == pytest.approx(same[above].sum() / same.sum(), abs=1e-3)
    lower = np.sort(scores[scores < kept[0]["threshold"] - 1e-5])[::-1]
    assert all(same[scores >= t].mean() < 0.9 for t in lower[:200])
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("path,other_path,match\n00015.jpg,00016.jpg,1\n00015.jpg,00030.jpg,0\n")
    summary = calibrate.run(spark, CalibrateConfig(warehouse=made.location, truth=str(pairs)))
    assert float(summary.details["threshold"]) == pytest.approx(made.vectors[15] @ made.vectors[16], abs=1e-3)
    assert TableStore.open(spark, made.location).read(CALIBRATIONS).count() == 1
    pairs.write_text("path,other_path,match\n00015.jpg,nowhere.jpg,1\n")
    with pytest.raises(UserError, match=r"line 2: no ingested image is called 'nowhere\.jpg'"):
        calibrate.run(spark, CalibrateConfig(warehouse=made.location, truth=str(pairs)))


def test_copies_need_no_vectors(spark, tmp_path):
    """Six copies of one picture have no projection, since there is no direction to project on."""
    warehouse = TableStore.open(spark, str(tmp_path / "w"), create=True)
    rows = [(an_id(i // 6), f"/p/{i}.jpg", "/p") for i in range(7)]
    warehouse.append(IMAGES, spark.createDataFrame(rows, "image_id string, path string, source string"))
    summary = dedup.run(spark, DedupConfig(warehouse=warehouse.location))
    assert (summary.rows_in, summary.details["copies"], summary.details["groups"]) == (7, "5", "1")
    assert any("these are copies only; `./spark-submit.sh compress` first" in note for note in summary.notes)
    held = warehouse.read(DUPLICATES).collect()
    assert {row["path"] for row in held} == {f"/p/{i}.jpg" for i in range(6)}
    assert [row["path"] for row in held if row["kind"] == "representative"] == ["/p/0.jpg"]
    with pytest.raises(UserError, match=r"run `\./spark-submit\.sh"):
        dedup.run(spark, DedupConfig(warehouse=warehouse.location, against=warehouse.location))
