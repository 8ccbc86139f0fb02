"""Label on warehouses of numbers: the same names as NumPy gives on all vectors at once, however few come at a time."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from support.warehouses import Made, clustered, make

from imgsearch.clusters.codebook import Codebook
from imgsearch.config import LabelConfig
from imgsearch.errors import UserError
from imgsearch.labels import label, spreading
from imgsearch.labels.ballot import Ballot, ballot, counted
from imgsearch.labels.doubts import judge
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.lake.store import TableStore
from imgsearch.tables import CONFLICTS, IMAGE_LABELS, LABEL_NEXT, LABELS, METRICS, TableSpec
from imgsearch.vectors import pack

N, N_CLUSTERS, N_NAMED = 240, 8, 60


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Made:
    vectors, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.4)
    return make(spark, tmp_path_factory.mktemp("label") / "w", vectors, clusters, centroids)


@pytest.fixture(autouse=True)
def nothing_named(made: Made) -> None:
    """Each test begins without names."""
    shutil.rmtree(Path(made.location, LABELS.name), ignore_errors=True)


def expected(made: Made, names: dict[int, str], of_cluster: dict[int, str]) -> Ballot:
    """The ballot with its curve, by NumPy on all vectors."""
    _, clusters, centroids = clustered(N, N_CLUSTERS, spread=0.4)
    scores = np.where(clusters[:, None] == np.arange(N_CLUSTERS), made.vectors @ centroids.T, -np.inf)
    medoids = {c: int(scores[:, c // 3].argmax()) for c in of_cluster}
    label_of = {i: of_cluster[c] for c, i in medoids.items()} | names
    named = sorted(label_of, key=lambda i: made.ids[i])
    table = pa.table({
        "image_id": [made.ids[i] for i in named], "cluster_id": pa.array(made.clusters[named]),
        "vector": pack(made.vectors[named]), "label": [label_of[i] for i in named],
        "is_own": [i in names for i in named],
    })  # fmt: skip
    codebook = Codebook(np.arange(N_CLUSTERS) * 3, centroids, np.zeros(N_CLUSTERS, np.float32))
    ids = {c: made.ids[i] for c, i in medoids.items()}
    return judge(ballot(table, codebook, of_cluster, ids, frozenset())).ballot


def read(spark: SparkSession, made: Made, spec: TableSpec) -> list[dict[str, Any]]:
    return [row.asDict() for row in TableStore.open(spark, made.location).read(spec).collect()]


def test_labels_doubts_and_what_to_name_next(spark: SparkSession, made: Made, tmp_path: Path) -> None:
    """One run with enough names to measure confidence: every table that it writes, against NumPy."""
    named = np.random.default_rng(3).permutation(N)[:N_NAMED]
    names = {int(i): f"kind {made.clusters[i] // 3 % 4 if i % 9 else 9}" for i in named}
    of_cluster = {0: "kind 0", 6: "another"}
    lines = [f",/pictures/{i:05d}.jpg,{name}" for i, name in names.items()]
    lines += [f"{cluster},,{name}" for cluster, name in of_cluster.items()]
    (tmp_path / "names.csv").write_text("cluster_id,path,label\n" + "\n".join(lines) + "\n3,,\n")
    summary = label.run(spark, LabelConfig(warehouse=made.location, labels=str(tmp_path / "names.csv")))

    sent = expected(made, names, of_cluster)
    rest = np.array([i for i in range(N) if i not in names])
    batch = counted(
        sent, pa.array([made.ids[i] for i in rest]), made.clusters[rest].astype(np.int64), made.vectors[rest]
    )
    truth = {row["image_id"]: row for row in batch.to_pylist()}
    got = {row["image_id"]: row for row in read(spark, made, IMAGE_LABELS)}
    assert len(got) == N
    assert {row["origin"] for row in got.values()} == {"person", "vote", "cluster", "none"}
    for i, name in names.items():
        row = got[made.ids[i]]
        assert (row["label"], row["origin"], row["confidence"]) == (name, "person", 1.0)
    for image_id, row in truth.items():
        one = got[image_id]
        if row["confidence"] >= 0.5:
            assert (one["label"], one["origin"], one["runner_up"]) == (row["label"], row["origin"], row["runner_up"])
            assert one["confidence"] == pytest.approx(row["confidence"], abs=1e-5)
        else:
            assert (one["label"], one["origin"], one["runner_up"]) == (None, "none", row["label"])
            assert one["confidence"] is None
        assert one["voters"] == row["voters"]

    metrics = {(row["metric"], row["k"]): row["value"] for row in read(spark, made, METRICS)}
    assert metrics["confidence_ece", None] == pytest.approx(float(summary.details["ece"]), abs=1e-3)
    assert sum(v for (name, _), v in metrics.items() if name == "confidence_names") == len(sent.ids)
    conflicts = read(spark, made, CONFLICTS)
    assert {row["label"] for row in conflicts if row["kind"] == "image"} >= {"kind 9"}  # what was named wrongly
    assert all(row["label"] != row["neighbour_label"] and row["share"] >= 0.6 for row in conflicts)
    next_up = sorted(read(spark, made, LABEL_NEXT), key=lambda row: row["rank"])
    assert [row["rank"] for row in next_up] == list(range(1, len(next_up) + 1))
    assert len(next_up) == 100
    assert not {row["image_id"] for row in next_up} & {made.ids[i] for i in names}
    assert next_up[0]["settles"] >= next_up[-1]["settles"] > 0
    assert all(row["path"].startswith("/pictures/") for row in next_up)

    label.run(spark, LabelConfig(warehouse=made.location, target_precision=0.8))
    sure = [row for row in read(spark, made, IMAGE_LABELS) if row["origin"] in ("vote", "cluster")]
    assert np.mean([row["confidence"] for row in sure]) >= 0.8
    assert len(sure) < sum(row["origin"] in ("vote", "cluster") for row in got.values())
    with pytest.raises(UserError, match=r"--target-precision 0.9999: even the surest labels"):
        label.run(spark, LabelConfig(warehouse=made.location, target_precision=0.9999))


def test_a_precision_needs_names_to_measure_it_on(spark: SparkSession, made: Made) -> None:
    decide(made, [{"action": "name", "cluster_id": 0, "label": "pump"}])
    with pytest.raises(UserError, match=r"--target-precision 0.9: 1 names are too few .* name 50"):
        label.run(spark, LabelConfig(warehouse=made.location, target_precision=0.9))
    summary = label.run(spark, LabelConfig(warehouse=made.location))
    assert "ece" not in summary.details
    assert "confidence is the share of the vote, not measured: 1 images" in summary.notes[0]
    assert not [row for row in read(spark, made, METRICS) if row["metric"].startswith("confidence_")]


def test_more_names_than_are_sent(
    spark: SparkSession, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of the names votes, rare ones among them; every image that a person named keeps its own name."""
    monkeypatch.setattr(spreading, "MOST_VOTERS", 20)
    lines = [f"{made.ids[i]},{'rare' if i == 50 else 'all'}" for i in range(100)]
    (tmp_path / "names.csv").write_text("image_id,label\n" + "\n".join(lines) + "\n")
    label.run(spark, LabelConfig(warehouse=made.location, labels=str(tmp_path / "names.csv"), min_confidence=0))
    rows = read(spark, made, IMAGE_LABELS)
    assert {row["image_id"] for row in rows if row["origin"] == "person"} == set(made.ids[:100])
    spread = [row for row in rows if row["origin"] == "vote"]
    assert len({voter for row in spread for voter in row["voters"]}) <= 20
    assert made.ids[50] in {voter for row in spread for voter in row["voters"]}


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
    of = {c: [i for i, k in zip(made.ids, made.clusters, strict=True) if k == c] for c in (0, 3, 6, 12)}
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
        {"action": "junk", "cluster_id": 12},
    ])  # fmt: skip
    summary = label.run(spark, LabelConfig(warehouse=made.location, min_confidence=0.1))
    got = labelled(spark, made)
    assert [got[i] for i in of[0][:3]] == [("rust", "person"), ("rust", "person"), (None, "none")]
    assert got[of[3][0]] == ("valve", "person")
    assert [got[i][0] for i in of[6]].count("motor") > 0.8 * len(of[6])
    assert {got[i] for i in of[12]} == {(None, "none")}
    assert summary.details["names"] == "4"
    shared = {got[i] for i, k in zip(made.ids, made.clusters, strict=True) if k == 9}
    assert ("pump", "cluster") in shared


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
