"""Label on warehouses of numbers: the same names as NumPy gives on all vectors at once, however few come at a time."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.warehouses import Made, clustered, make

from imgsearch.config import LabelConfig
from imgsearch.errors import UserError
from imgsearch.labels import label, spreading
from imgsearch.labels.votes import ORIGINS, Named, spread
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.lake.store import TableStore
from imgsearch.tables import IMAGE_LABELS, LABELS

N, N_CLUSTERS, N_NAMED = 240, 8, 60


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Made:
    vectors, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.4)
    return make(spark, tmp_path_factory.mktemp("label") / "w", vectors, clusters, centroids)


@pytest.fixture(autouse=True)
def nothing_named(made: Made) -> None:
    """Each test begins without names."""
    shutil.rmtree(Path(made.location, LABELS.name), ignore_errors=True)


def expected(made: Made, names: dict[int, str], of_cluster: dict[int, str]) -> dict[str, tuple[str | None, str, float]]:
    """``image_id`` → label, origin, confidence, by NumPy."""
    words = sorted({*names.values(), *of_cluster.values()})
    order = np.argsort(made.ids)
    named = np.array([i for i in order if i in names])
    rows = made.vectors
    _, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.4)
    scores = np.einsum("ij,ij->i", rows, centroids[clusters]).astype(np.float32)
    got = spread(
        rows, made.clusters.astype(np.int64),
        Named(rows[named], made.clusters[named].astype(np.int64), np.array([words.index(names[i]) for i in named])),
        {c: words.index(w) for c, w in of_cluster.items()}, scores=scores, outlier=scores < -1, min_confidence=0.5,
    )  # fmt: skip
    return {
        made.ids[i]: (names[i], "person", 1.0)
        if i in names
        else (words[got.labels[i]] if got.labels[i] >= 0 else None, ORIGINS[got.origins[i]], float(got.confidence[i]))
        for i in range(N)
    }


@pytest.mark.parametrize("at_once", [50_000, 13])
def test_votes_are_those_of_numpy_however_many_names_come_at_once(
    spark: SparkSession, made: Made, tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "NAMED_AT_ONCE", at_once)
    named = np.random.default_rng(3).permutation(N)[:N_NAMED]
    names = {int(i): f"kind {made.clusters[i] // 3 % 3 if i % 5 else 9}" for i in named}
    of_cluster = {0: "kind 0", 6: "another"}
    lines = [f",/pictures/{i:05d}.jpg,{name}" for i, name in names.items()]
    lines += [f"{cluster},,{name}" for cluster, name in of_cluster.items()]
    (tmp_path / "names.csv").write_text("cluster_id,path,label\n" + "\n".join(lines) + "\n3,,\n")
    label.run(spark, LabelConfig(warehouse=made.location, labels=str(tmp_path / "names.csv")))
    rows = TableStore.open(spark, made.location).read(IMAGE_LABELS).collect()
    got = {row["image_id"]: (row["label"], row["origin"], row["confidence"]) for row in rows}
    truth = expected(made, names, of_cluster)
    assert {i: row[:2] for i, row in got.items()} == {i: row[:2] for i, row in truth.items()}
    assert {row[1] for row in got.values()} == {"person", "vote", "cluster", "none"}
    for image_id, (_, _, confidence) in truth.items():
        assert got[image_id][2] == pytest.approx(confidence, abs=1e-5)


def test_one_cluster_with_more_names_than_are_sent_at_once(
    spark: SparkSession, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of its names votes; every image that a person named keeps its own name."""
    monkeypatch.setattr(spreading, "NAMED_AT_ONCE", 4)
    lines = [f"{made.ids[i]},all" for i in range(100)]
    (tmp_path / "names.csv").write_text("image_id,label\n" + "\n".join(lines) + "\n")
    label.run(spark, LabelConfig(warehouse=made.location, labels=str(tmp_path / "names.csv")))
    rows = TableStore.open(spark, made.location).read(IMAGE_LABELS).collect()
    assert {row["image_id"] for row in rows if row["origin"] == "person"} == set(made.ids[:100])
    assert {row["label"] for row in rows} <= {"all", None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\n00001.jpg,x\nno/such.jpg,y\nnor/this.jpg,z\n", "line 3: no ingested image 'no/such.jpg'"),
        ("path,label\n00001.jpg,x\n/pictures/00001.jpg,y\nno.jpg,z\n", "line 3: '/pictures/00001.jpg' has two names"),
        ("cluster_id,label\n0,x\n1,y\n", "line 3: there is no cluster '1'; the table 'clusters' has 0 to 21"),
        ("cluster_id,label\n0,x\nx,y\n", "line 3: there is no cluster 'x'"),
        ("cluster_id,label\n0,x\n0,y\n", "line 3: cluster 0 has two names"),
        ("cluster_id,path,label\n0,,x\n,,y\n", "line 3: names neither a cluster nor an image"),
        ("path,label\n00001.jpg,\n", "every 'label' is empty"),
        ("file,label\n00001.jpg,x\n", r"has no column 'cluster_id', 'image_id' or 'path'; it has \['file', 'label'\]"),
    ],
)  # fmt: skip
def test_the_first_bad_line_is_named(spark: SparkSession, made: Made, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        label.run(spark, LabelConfig(warehouse=made.location, labels=str(tmp_path / "names.csv")))


def decide(made: Made, decisions: list[dict[str, Any]]) -> None:
    """As the review page does it: by delta-rs, a second apart."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for n, values in enumerate(decisions):
        row = {"label_id": str(n), "made_at": start + timedelta(seconds=n), "made_by": "ann", "kind": "cluster"}
        DeltaFolder.open(made.location).append(LABELS, [row | values])


def labelled(spark: SparkSession, made: Made) -> dict[str, tuple[str | None, str]]:
    rows = TableStore.open(spark, made.location).read(IMAGE_LABELS).collect()
    return {row["image_id"]: (row["label"], row["origin"]) for row in rows}


def test_what_the_page_decided_is_spread(spark: SparkSession, made: Made) -> None:
    """Names, undos, parts and images that were dropped, in a table that delta-rs made; and no CSV."""
    with pytest.raises(UserError, match=r"nothing in .* has a name yet; name clusters on the page"):
        label.run(spark, LabelConfig(warehouse=made.location))
    of = {c: [i for i, k in zip(made.ids, made.clusters, strict=True) if k == c] for c in (0, 3, 6)}
    medoid, outside = of[6][0], "0" * 64
    decide(made, [
        {"action": "name", "cluster_id": 0, "label": "pump"},
        {"action": "name", "cluster_id": 3, "label": "wrong"},
        {"action": "undo", "undoes": "1", "cluster_id": 3},
        {"kind": "part", "action": "split", "cluster_id": 0, "image_ids": of[0][:2], "label": "rust"},
        {"kind": "image", "action": "drop", "image_ids": [of[0][2]]},
        {"action": "same_as", "cluster_id": 9, "other_cluster_id": 0},
        {"kind": "image", "action": "name", "image_ids": [of[3][0], outside], "label": "valve"},
        {"kind": "image", "action": "drop", "image_ids": [of[3][0]]},
        {"kind": "image", "action": "undo", "undoes": "7"},
        {"action": "name", "cluster_id": 77, "label": "motor", "projection_id": "an older one", "medoid_id": medoid},
    ])  # fmt: skip
    summary = label.run(spark, LabelConfig(warehouse=made.location, min_confidence=0.1))
    got = labelled(spark, made)
    assert [got[i] for i in of[0][:3]] == [("rust", "person"), ("rust", "person"), (None, "none")]
    assert got[of[3][0]] == ("valve", "person")
    assert {got[i][0] for i in of[6]} == {"motor"}
    assert summary.details["names"] == "4"
    shared = {got[i] for i, k in zip(made.ids, made.clusters, strict=True) if k == 9}
    assert shared == {("pump", "cluster")}


def test_a_csv_adds_and_says_nothing_twice(spark: SparkSession, made: Made, tmp_path: Path) -> None:
    def imported(text: str) -> int:
        (tmp_path / "names.csv").write_text(text)
        label.run(spark, LabelConfig(warehouse=made.location, labels=str(tmp_path / "names.csv")))
        return len(DeltaFolder.open(made.location).read(LABELS))

    first = f"cluster_id,image_id,label\n0,,pump\n,{made.ids[0]},valve\n,{made.ids[1]},valve\n"
    assert imported(first) == 3
    assert imported(first) == 3
    assert imported(f"cluster_id,image_id,label\n3,,motor\n,{made.ids[0]},pipe\n") == 5
    decide(made, [{"action": "name", "cluster_id": 6, "label": "late"}])  # by delta-rs, to a table that Spark made
    rows = DeltaFolder.open(made.location).read(LABELS).to_pylist()
    assert [row["kind"] for row in rows if row["image_ids"] == [made.ids[1]]] == ["image"]
    assert "late" in {row["label"] for row in rows}
    got = labelled(spark, made)
    assert [got[i] for i in made.ids[:2]] == [("pipe", "person"), ("valve", "person")]
    assert {"pump", "motor"} <= {name for name, _ in got.values()}
