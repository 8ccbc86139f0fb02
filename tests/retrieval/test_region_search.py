"""Parts of pictures through the jobs: embed, compress, search, a part as a query, and what leaves with its image."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.tiny import write_tiny_maps

from imgsearch.config import CompressConfig, DropConfig, EmbedConfig, IngestConfig, SearchConfig
from imgsearch.encoders import embed
from imgsearch.encoders.regions import N_REGIONS
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.retrieval import search
from imgsearch.retrieval.best_regions import WHOLE
from imgsearch.tables import BOX, EMBEDDINGS, MATCHES, QUARANTINE, REGION_VECTORS, REGIONS, VECTORS
from imgsearch.upkeep import drop
from imgsearch.vectors import unpack

N, TOP_K = 12, 5
Rows = list[dict[str, str]]


def counts(spark: SparkSession, w: str) -> list[int]:
    warehouse = TableStore.open(spark, w)
    return [warehouse.read_or_empty(spec).count() for spec in (EMBEDDINGS, VECTORS, REGIONS, REGION_VECTORS)]


def asked(spark: SparkSession, w: str, queries: Path, **settings: object) -> Rows:
    """What a search writes to its file."""
    output = queries.with_name("matches.csv")
    search.run(spark, SearchConfig(warehouse=w, queries=str(queries), top_k=TOP_K, output=str(output), **settings))  # type: ignore[arg-type]
    with output.open() as file:
        return list(csv.DictReader(file))


def oracle(spark: SparkSession, w: str) -> dict[str, list[tuple[str, tuple[float, ...] | None, float]]]:
    """Each image as a query: (image, box, score) of its best images, by every vector of every image."""
    warehouse = TableStore.open(spark, w)
    whole = [(r["image_id"], WHOLE, None, r["vector"]) for r in warehouse.read(VECTORS).collect()]
    parts = [
        (r["image_id"], r["region"], tuple(r[name] for name in BOX), r["vector"])
        for r in warehouse.read(REGION_VECTORS).collect()
    ]
    vectors = unpack([row[3] for row in whole + parts])
    answers = {}
    for query, (image_id, *_) in enumerate(whole):
        scores = vectors @ vectors[query]
        order = sorted(range(len(vectors)), key=lambda i: (-scores[i], (whole + parts)[i][0], (whole + parts)[i][1]))
        best: dict[str, tuple[str, tuple[float, ...] | None, float]] = {}
        for i in order:
            row = (whole + parts)[i]
            best.setdefault(row[0], (row[0], row[2], float(scores[i])))
        answers[image_id] = list(best.values())[:TOP_K]
    return answers


def test_parts_of_pictures_through_the_jobs(spark: SparkSession, tmp_path: Path, draw: Callable[..., Path]) -> None:
    w, pictures, encoder = str(tmp_path / "w"), tmp_path / "in", write_tiny_maps(tmp_path / "maps.onnx", 0)
    for i in range(N):
        draw(pictures / f"{i}.png", i)
    ingest.run(spark, IngestConfig(input=str(pictures), warehouse=w))
    embed.run(spark, EmbedConfig(warehouse=w, encoder=encoder))
    compress.run(spark, CompressConfig(warehouse=w, n_components=8))
    assert counts(spark, w) == [N, N, 0, 0]
    with pytest.raises(UserError, match=r"^--regions: .* has no parts of images .* embed .* --regions"):
        search.run(spark, SearchConfig(warehouse=w, queries=str(pictures), regions=True))

    # images that are embedded get their parts alone; there is nothing left to do after that
    before = sorted(TableStore.open(spark, w).read(VECTORS).collect())
    with_regions = EmbedConfig(warehouse=w, encoder=encoder, regions=True)
    assert embed.run(spark, with_regions).rows_out == N
    assert (
        embed.run(spark, with_regions).rows_in
        == embed.run(spark, EmbedConfig(warehouse=w, encoder=encoder)).rows_in
        == 0
    )
    assert counts(spark, w) == [N, N, N * N_REGIONS, N * N_REGIONS]
    assert sorted(TableStore.open(spark, w).read(VECTORS).collect()) == before

    ids = tmp_path / "ids.csv"
    expected = oracle(spark, w)
    ids.write_text("image_id\n" + "\n".join(expected))
    plain, ranked = asked(spark, w, ids), asked(spark, w, ids, regions=True)
    assert set(ranked[0]) - set(plain[0]) == set(BOX)
    assert all(r["region_x"] is None for r in TableStore.open(spark, w).read(MATCHES).where("rank = 1").collect())
    for image_id, best in expected.items():
        mine = [row for row in ranked if row["query_id"] == image_id]
        assert [row["image_id"] for row in mine] == [row[0] for row in best]
        np.testing.assert_allclose([float(row["score"]) for row in mine], [row[2] for row in best], atol=1e-5)
        boxes = [tuple(float(row[name]) for name in BOX) if row["region_x"] else None for row in mine]
        assert boxes == [None if row[1] is None else pytest.approx(row[1], abs=1e-6) for row in best]
    assert any(row["region_x"] for row in ranked)

    # a part of a picture as a query: that of the file, and that of the gallery's image by its id
    (tmp_path / "parts.csv").write_text(
        f"path,x,y,w,h\n{pictures}/3.png,0,0,0.5,1\n{pictures}/4.png,,,,\n{pictures}/5.png,0,0,30,40\n"
    )
    parts = asked(spark, w, tmp_path / "parts.csv")
    assert {Path(row["query_path"]).name for row in parts} == {"3.png", "4.png"}
    whole = {row["query_id"]: row["image_id"] for row in parts if "#" not in row["query_id"] and row["rank"] == "1"}
    assert [query == image for query, image in whole.items()] == [True]
    (named,) = {row["query_id"] for row in parts if "#" in row["query_id"]}
    assert named.endswith("#0,0,0.5,1")
    reasons = TableStore.open(spark, w).read(QUARANTINE).where("stage = 'search'").collect()
    assert [(row["path"].rpartition("/")[2], row["reason"]) for row in reasons] == [("5.png#0,0,30,40", "bad_box")]
    (tmp_path / "by_id.csv").write_text(f"image_id,x,y,w,h\n{named[:64]},0,0,.5,1\nno such id,0,0,1,1\n")
    others = asked(spark, w, tmp_path / "by_id.csv", exclude_self=True)
    assert {row["query_id"] for row in others} == {named}
    mine = [row["image_id"] for row in parts if row["query_id"] == named and row["image_id"] != named[:64]]
    assert [row["image_id"] for row in others][: len(mine)] == mine

    # another projection takes the parts along; what is gone is gone with its parts
    compress.run(spark, CompressConfig(warehouse=w, n_components=6))
    assert counts(spark, w) == [N, N, N * N_REGIONS, N * N_REGIONS]
    (pictures / "0.png").unlink()
    ingest.run(spark, IngestConfig(input=str(pictures), warehouse=w, prune=True))
    assert counts(spark, w) == [N - 1, N - 1, (N - 1) * N_REGIONS, (N - 1) * N_REGIONS]
    drop.run(spark, DropConfig(warehouse=w, encoder=encoder))
    assert counts(spark, w) == [0] * 4
