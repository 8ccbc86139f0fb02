"""Label on warehouses of numbers: the same names as NumPy gives on all vectors at once, however few come at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.warehouses import Made, clustered, make

from imgsearch.config import LabelConfig
from imgsearch.errors import UserError
from imgsearch.labels import label, spreading
from imgsearch.labels.votes import ORIGINS, Named, spread
from imgsearch.lake.store import TableStore
from imgsearch.tables import IMAGE_LABELS

N, N_CLUSTERS, N_NAMED = 240, 8, 60


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Made:
    vectors, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.4)
    return make(spark, tmp_path_factory.mktemp("label") / "w", vectors, clusters, centroids)


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
