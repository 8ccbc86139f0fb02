"""The whole chain on drawn pictures and a tiny encoder, made once; each stage's tables against arithmetic done here."""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from imgsearch import pipeline
from imgsearch.clusters import cluster
from imgsearch.clusters.store import with_rank
from imgsearch.config import (
    ClusterConfig,
    CompressConfig,
    EvaluateConfig,
    ExportConfig,
    LabelConfig,
    PipelineConfig,
    SearchConfig,
)
from imgsearch.errors import UserError
from imgsearch.labels import evaluate, label
from imgsearch.lake import runs
from imgsearch.lake.progress import Steps
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.report import export
from imgsearch.retrieval import search
from imgsearch.tables import (
    CLUSTERS,
    EMBEDDINGS,
    IMAGE_LABELS,
    IMAGES,
    MATCHES,
    MEMBERS,
    METRICS,
    QUARANTINE,
    RUNS,
    VECTORS,
    TableSpec,
)
from imgsearch.vectors import unpack

N_KINDS, N_VISITS = 4, 6
N = N_KINDS * N_VISITS


class Chain(NamedTuple):
    """A warehouse and the files around it. ``pictures`` holds kind=K/V.png, two copies of one, and a damaged file."""

    location: str
    folder: Path
    pictures: Path
    queries: Path
    encoder: str
    report: Path
    printed: str


@pytest.fixture(scope="module")
def chain(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path], tiny: str) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    own = folder / "own.onnx"
    for suffix in (".onnx", ".toml"):
        shutil.copy(Path(tiny).with_suffix(suffix), own.with_suffix(suffix))
    pictures, queries = folder / "pictures", folder / "queries"
    for kind in range(N_KINDS):
        for visit in range(N_VISITS):
            draw(pictures / f"kind={kind}" / f"{visit}.png", kind, visit)
        draw(queries / f"{kind}.png", kind, 100)
    for name in ("copy.png", "other copy.png"):
        shutil.copy(pictures / "kind=0" / "0.png", pictures / name)
    (pictures / "bad.png").write_text("no picture")
    (queries / "bad.png").write_text("no picture")
    shutil.copy(pictures / "kind=2" / "3.png", queries / "seen.png")
    w = str(folder / "w")
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr(runs, "print", lambda *a, **k: lines.append(" ".join(map(str, a))), raising=False)
        done = pipeline.run(spark, PipelineConfig(input=str(pictures), warehouse=w, encoder=str(own), n_clusters="4"))
        lines.append(str(done))
    (folder / "labels.csv").write_text(
        "path,label\n" + "".join(f"kind={k}/{v}.png,kind {k}\n" for k in range(N_KINDS) for v in (0, 1))
    )
    (folder / "truth.csv").write_text(
        "path,label\n"
        + "".join(f"kind={k}/{v}.png,kind {k}\n" for k in range(N_KINDS) for v in range(N_VISITS))
        + "".join(f"queries/{k}.png,kind {k}\n" for k in range(N_KINDS))
        + "no/such.png,kind 0\n"
    )
    label.run(spark, LabelConfig(warehouse=w, labels=str(folder / "labels.csv")))
    search.run(spark, SearchConfig(warehouse=w, queries=str(queries), top_k=7, output=str(folder / "out" / "m.csv")))
    evaluate.run(
        spark,
        EvaluateConfig(warehouse=w, truth=str(folder / "truth.csv"), expand=2, output=str(folder / "metrics.csv")),
    )
    export.run(spark, ExportConfig(warehouse=w, output=f"{w}/export"))
    return Chain(w, folder, pictures, queries, str(own), Path(w) / "export" / "report" / "index.html", "\n".join(lines))


def table(spark: SparkSession, chain: Chain, spec: TableSpec) -> pd.DataFrame:
    return TableStore.open(spark, chain.location).read(spec).toArrow().to_pandas()


def versions(spark: SparkSession, chain: Chain) -> dict[str, int]:
    warehouse = TableStore.open(spark, chain.location)
    specs = (IMAGES, EMBEDDINGS, VECTORS, CLUSTERS, MEMBERS, IMAGE_LABELS, MATCHES, METRICS, RUNS)
    return {spec.name: warehouse.version(spec) for spec in specs}


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def gallery(spark: SparkSession, chain: Chain) -> tuple[list[str], np.ndarray, np.ndarray]:
    """ids sorted, their vectors, their kinds."""
    rows = table(spark, chain, VECTORS).sort_values("image_id")
    kind_of = {sha(path): int(path.parent.name[-1]) for path in chain.pictures.glob("kind=*/*.png")}
    ids = rows["image_id"].tolist()
    return ids, unpack(rows["vector"].tolist()), np.array([kind_of[i] for i in ids])


def test_every_row_is_accounted_for(spark: SparkSession, chain: Chain) -> None:
    runs = table(spark, chain, RUNS).sort_values("started_at")
    assert (runs["rows_in"] == runs["rows_out"] + runs["quarantined"]).all()
    stages = runs.set_index("job")
    assert stages.loc["ingest", "rows_in"] == N + 3
    assert stages.loc["ingest", "quarantined"] == 1
    assert stages.loc["embed", "rows_in"] == stages.loc["compress", "rows_in"] == stages.loc["cluster", "rows_in"] == N
    assert stages.loc["search", "rows_in"] == N_KINDS + 2
    assert stages.loc["search", "quarantined"] == 1
    assert stages.loc["pipeline", "rows_in"] == N + 3
    assert stages.loc["pipeline", "rows_out"] == N + 2
    for stage in ("ingest", "embed", "compress", "cluster", "export", "pipeline"):
        assert f"{stage}: " in chain.printed
    assert dict(stages.loc["cluster", "versions_read"])["vectors"] >= 0
    assert "members" in dict(stages.loc["cluster", "versions_written"])


def test_vectors_are_unit_and_say_what_kind(gallery: tuple[list[str], np.ndarray, np.ndarray]) -> None:
    ids, vectors, kinds = gallery
    assert len(ids) == N
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -1)
    assert (kinds[scores.argmax(axis=1)] == kinds).mean() > 0.9


def test_clusters_and_members_agree(
    spark: SparkSession, chain: Chain, gallery: tuple[list[str], np.ndarray, np.ndarray]
) -> None:
    ids, vectors, _ = gallery
    clusters = table(spark, chain, CLUSTERS).set_index("cluster_id")
    members = with_rank(TableStore.open(spark, chain.location).read(MEMBERS)).toArrow().to_pandas()
    assert clusters["size"].sum() == len(members) == N
    assert sorted(members["image_id"]) == ids
    row = dict(zip(ids, vectors, strict=True))
    for number, group in members.groupby("cluster_id"):
        cluster_row = clusters.loc[number]
        own = np.array([row[i] for i in group["image_id"]])
        centroid = np.frombuffer(cluster_row["centroid"], "<f4")
        np.testing.assert_allclose(group["score"], own @ centroid, atol=1e-5)
        assert cluster_row["cohesion"] == pytest.approx(float((own @ centroid).mean()), abs=1e-5)
        best = float((own @ own.mean(axis=0)).max())
        assert float(row[cluster_row["medoid_id"]] @ own.mean(axis=0)) == pytest.approx(best, abs=1e-6)
        ranked = group.sort_values("rank")
        assert list(ranked["rank"]) == list(range(1, len(group) + 1))
        assert list(ranked["score"]) == sorted(group["score"], reverse=True)


def test_matches_are_the_naive_answer(
    spark: SparkSession, chain: Chain, gallery: tuple[list[str], np.ndarray, np.ndarray]
) -> None:
    ids, vectors, kinds = gallery
    matches = table(spark, chain, MATCHES).sort_values(["query_path", "rank"])
    assert matches.groupby("query_path").size().tolist() == [7] * (N_KINDS + 1)
    seen = matches[matches["query_path"].str.endswith("/seen.png")]
    query = vectors[ids.index(sha(chain.queries / "seen.png"))]
    scores = vectors @ query
    order = np.lexsort((ids, -scores.astype(np.float32)))[:7]
    assert seen["image_id"].tolist() == [ids[i] for i in order]
    np.testing.assert_allclose(seen["score"], scores[order], atol=1e-5)
    assert seen["score"].iloc[0] == pytest.approx(1, abs=1e-5)
    for kind in range(N_KINDS):
        found = matches[matches["query_path"] == str(chain.queries / f"{kind}.png")]
        assert kinds[ids.index(found["image_id"].iloc[0])] == kind
    copied = matches[matches["image_id"] == sha(chain.pictures / "copy.png")]
    assert set(copied["path"]) <= {str(chain.pictures / "copy.png")}  # the first of three paths, by name


def test_the_file_of_matches_is_the_table(spark: SparkSession, chain: Chain) -> None:
    with (chain.folder / "out" / "m.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    matches = table(spark, chain, MATCHES).sort_values(["query_path", "rank"])
    assert [(r["query_path"], int(r["rank"]), r["image_id"], r["path"]) for r in rows] == list(
        matches[["query_path", "rank", "image_id", "path"]].itertuples(index=False, name=None)
    )
    assert [p.name for p in (chain.folder / "out").iterdir()] == ["m.csv"]


def test_refused_queries_are_in_quarantine(spark: SparkSession, chain: Chain) -> None:
    refused = table(spark, chain, QUARANTINE)
    found = {(r.path.removeprefix(str(chain.folder)), r.stage) for r in refused.itertuples()}
    assert found == {("/pictures/bad.png", "ingest"), ("/queries/bad.png", "search")}


def test_labels_reach_every_path(spark: SparkSession, chain: Chain) -> None:
    labels = table(spark, chain, IMAGE_LABELS)
    assert len(labels) == N + 2
    by_path = {path.removeprefix(f"{chain.pictures}/"): row for path, *row in labels[
        ["path", "label", "origin", "confidence"]].itertuples(index=False, name=None)}  # fmt: skip
    assert by_path["kind=1/0.png"] == ["kind 1", "person", 1.0]
    assert by_path["copy.png"][:2] == by_path["other copy.png"][:2] == ["kind 0", "person"]
    spread = [(path, row) for path, row in by_path.items() if row[1] in ("vote", "cluster")]
    assert spread
    right = [row[0] == f"kind {path[5]}" for path, row in spread]
    assert np.mean(right) > 0.8
    assert all(0.5 <= row[2] <= 1 for _, row in spread)
    assert all(row[0] is None for row in by_path.values() if row[1] == "none")


def test_metrics_are_arithmetic(
    spark: SparkSession, chain: Chain, gallery: tuple[list[str], np.ndarray, np.ndarray]
) -> None:
    _, vectors, kinds = gallery
    metrics = {(r.metric, None if r.k != r.k else int(r.k)): r.value for r in table(spark, chain, METRICS).itertuples()}
    scores = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(scores, -np.inf)
    right = np.take_along_axis(kinds[None, :] == kinds[:, None], np.argsort(-scores, axis=1), axis=1)[:, :-1]
    assert metrics["precision_at_k", 1] == pytest.approx(right[:, 0].mean())
    assert metrics["precision_at_k", 5] == pytest.approx(right[:, :5].mean())
    assert metrics["hit_rate_at_k", 5] == pytest.approx(right[:, :5].any(axis=1).mean())
    precision = np.cumsum(right, axis=1) / np.arange(1, N)
    assert metrics["map", None] == pytest.approx(((precision * right).sum(axis=1) / right.sum(axis=1)).mean())
    members = table(spark, chain, MEMBERS).sort_values("image_id")
    purest = sum(np.bincount(kinds[members["cluster_id"] == c]).max() for c in members["cluster_id"].unique())
    assert metrics["purity", None] == pytest.approx(purest / N)
    assert 0 <= metrics["nmi", None] <= 1
    assert metrics["search_precision_at_k", 1] == 1.0
    with (chain.folder / "metrics.csv").open(newline="") as file:
        written = {(r["metric"], int(r["k"]) if r["k"] else None): float(r["value"]) for r in csv.DictReader(file)}
    assert written == pytest.approx(metrics)


def test_the_export_is_flat_and_agrees_with_the_warehouse(spark: SparkSession, chain: Chain) -> None:
    out = chain.report.parent.parent
    assert {p.name for p in (out / "delta").iterdir()} == {p.name for p in (out / "parquet").iterdir()}
    for folder in sorted((out / "delta").iterdir()):
        schema = spark.read.format("delta").load(str(folder)).schema
        nested = (T.ArrayType, T.MapType, T.StructType, T.BinaryType)
        assert not [f.name for f in schema if isinstance(f.dataType, nested)], folder.name
    images = pd.read_parquet(out / "parquet" / "dim_image")
    assert len(images) == images["image_id"].nunique() == N
    assert images["n_paths"].sum() == N + 2
    assert images["cluster_id"].notna().all()
    assert len(pd.read_parquet(out / "parquet" / "fact_image")) == N + 2
    assert len(pd.read_parquet(out / "parquet" / "fact_match")) == 7 * (N_KINDS + 1)
    named = pd.read_parquet(out / "parquet" / "dim_cluster")
    assert named["size"].sum() == N
    assert named["label"].str.match(r"kind \d").all()


def test_the_report_needs_no_network(chain: Chain) -> None:
    text = chain.report.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)
    shown = set(re.findall(r'src="(thumbnails/[^"]+)"', text))
    assert shown
    assert all((chain.report.parent / name).is_file() for name in shown)
    assert "bad.png" in text


def test_a_second_run_embeds_nothing_and_changes_no_image(
    spark: SparkSession, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    before = versions(spark, chain)
    config = PipelineConfig(input=str(chain.pictures), warehouse=chain.location, encoder=chain.encoder, n_clusters="4")
    rows_in, refused = pipeline.prepare(spark, config, Steps(pipeline.STAGES))
    assert (rows_in, refused) == (N + 3, 1)
    said = capsys.readouterr().out
    assert "embed: 0 in, 0 out" in said
    after = versions(spark, chain)
    for unchanged in ("images", "embeddings", "image_labels", "matches", "metrics"):
        assert after[unchanged] == before[unchanged], unchanged


def test_mistakes_are_told_and_nothing_is_written(spark: SparkSession, chain: Chain, tmp_path: Path) -> None:
    w, own = chain.location, chain.encoder
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "a.jpg").write_bytes(b"")
    (damaged / "b.jpg").write_text("text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").touch()
    files = {
        "nocolumn.csv": "file,label\na,b\n",
        "norows.csv": "path,label\n",
        "unknown.csv": "path,label\nno/such.png,x\n",
        "cluster.csv": "cluster_id,label\n99,x\n",
        "two.csv": "path,label\nkind=0/0.png,x\ncopy.png,y\n",
        "blank.csv": "path,label\nkind=0/0.png,\n",
        "lonely.csv": "path,label\nkind=0/0.png,a\nkind=0/1.png,b\nkind=0/2.png,c\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.csv").write_bytes(b"path,label\n\xe9,x\n")

    def labels(name: str) -> Callable[[], object]:
        return lambda: label.run(spark, LabelConfig(warehouse=w, labels=str(tmp_path / name)))

    def truth(name: str, column: str = "label") -> Callable[[], object]:
        return lambda: evaluate.run(spark, EvaluateConfig(warehouse=w, truth=str(tmp_path / name), label_column=column))

    def asked(queries: Path, **more: object) -> Callable[[], object]:
        return lambda: search.run(spark, SearchConfig(warehouse=w, queries=str(queries), **more))  # type: ignore[arg-type]

    def compressed(n: int) -> Callable[[], object]:
        return lambda: compress.run(spark, CompressConfig(warehouse=w, n_components=n))

    mistakes: list[tuple[Callable[[], object], str]] = [
        (compressed(25), "--n-components 25: the encoder gives 24 dimensions; ask for 24 or fewer"),
        (
            lambda: cluster.run(spark, ClusterConfig(warehouse=w, n_clusters=str(N + 1))),
            f"--n-clusters {N + 1}: there are {N} images; ask for {N} or fewer",
        ),
        (
            asked(chain.queries, top_k=N + 1),
            f"--top-k {N + 1}: the gallery has {N} images; ask for {N} or fewer",
        ),
        (asked(chain.queries, encoder="resnet50"), "--encoder resnet50: the embeddings in"),
        (asked(tmp_path / "none"), "there is no such folder, file, glob match or Delta table"),
        (asked(tmp_path / "empty"), "--queries"),
        (asked(damaged), "none of its 2 files can be searched for"),
        (labels("none.csv"), "No such file or directory; give a CSV file with the columns label"),
        (labels("nocolumn.csv"), "has no column 'cluster_id', 'image_id' or 'path'"),
        (labels("norows.csv"), "has no rows"),
        (labels("latin.csv"), "not a CSV in UTF-8"),
        (labels("unknown.csv"), "line 2: no ingested image 'no/such.png'; paths look like"),
        (labels("cluster.csv"), "there is no cluster '99'"),
        (labels("two.csv"), "has two names, 'x' and 'y'"),
        (labels("blank.csv"), "every 'label' is empty"),
        (truth("nocolumn.csv"), "has no column 'path'"),
        (truth("unknown.csv"), "none of its 1 paths is an ingested image"),
        (truth("unknown.csv", "lable"), "has no column 'lable' (did you mean 'label'?)"),
        (truth("lonely.csv"), "every label has one image only"),
        (
            lambda: export.run(spark, ExportConfig(warehouse=w, output=str(tmp_path / "mine"))),
            "is not empty and no earlier run made it",
        ),
    ]
    before = versions(spark, chain)
    for mistake, said in mistakes:
        with pytest.raises(UserError) as caught:
            mistake()
        assert said in str(caught.value)
    assert versions(spark, chain) == before
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.doc"]

    network = Path(own).read_bytes()
    try:  # the file that made the embeddings is another now
        from support.tiny import write_tiny

        write_tiny(Path(own), seed=3)
        with pytest.raises(UserError, match="vectors of two encoders are never compared"):
            asked(chain.queries)()
    finally:
        Path(own).write_bytes(network)
    assert versions(spark, chain) == before


def test_a_warehouse_that_is_not_there_is_named_with_the_next_step(spark: SparkSession, tmp_path: Path) -> None:
    w = str(tmp_path / "none")
    for run in (
        lambda: compress.run(spark, CompressConfig(warehouse=w)),
        lambda: cluster.run(spark, ClusterConfig(warehouse=w)),
        lambda: label.run(spark, LabelConfig(warehouse=w, labels="l.csv")),
        lambda: search.run(spark, SearchConfig(warehouse=w, queries="q")),
        lambda: evaluate.run(spark, EvaluateConfig(warehouse=w, truth="t.csv")),
        lambda: export.run(spark, ExportConfig(warehouse=w, output=str(tmp_path / "out"))),
    ):
        with pytest.raises(UserError, match=r"no such folder; run `\./spark-submit\.sh ingest` to make it"):
            run()
    assert not list(tmp_path.iterdir())


def test_more_components_than_images_and_too_few_images() -> None:
    assert compress.n_components_for(None, 1280, 100) == 99
    assert compress.n_components_for(None, 1280, 5000) == 256
    assert compress.n_components_for(24, 24, 24) == 24
    with pytest.raises(UserError, match="--n-components 30: there are 20 images; ask for 20 or fewer"):
        compress.n_components_for(30, 1280, 20)
    with pytest.raises(UserError, match="a projection needs at least two"):
        compress.n_components_for(None, 1280, 1)
