"""Embed: each content once for each encoder, in slices that a stopped run keeps, with one network a worker."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.config import EmbedConfig, IngestConfig
from imgsearch.encoders import embed, slices, udf
from imgsearch.encoders.encoder import resolve
from imgsearch.encoders.export import export_graph
from imgsearch.encoders.runtime import load_runtime
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.images.decode import DecodeLimits, decode
from imgsearch.lake.store import TableStore
from imgsearch.tables import EMBEDDINGS, ENCODERS, QUARANTINE, RUNS, THUMBNAILS
from imgsearch.vectors import unpack

Draw = Callable[..., Path]


def embeddings(warehouse: TableStore) -> pd.DataFrame:
    return warehouse.read(EMBEDDINGS).toArrow().to_pandas()


@pytest.fixture
def ingested(spark: SparkSession, tmp_path: Path, draw: Draw) -> tuple[Path, str]:
    """Twelve files of eleven contents; after the ingest one is gone, one is another, and one was cut all along."""
    top = tmp_path / "in"
    for i in range(10):
        draw(top / f"{i}.png", i)
    shutil.copy(top / "0.png", top / "copy.png")
    body = draw(tmp_path / "large.png", 11, size=(300, 200)).read_bytes()
    (top / "cut.png").write_bytes(body[: len(body) // 2])
    w = str(tmp_path / "w")
    assert ingest.run(spark, IngestConfig(input=str(top), warehouse=w)).rows_out == 12
    (top / "8.png").unlink()
    draw(top / "9.png", 50)
    return top, w


def test_each_content_once_for_each_encoder(
    spark: SparkSession, ingested: tuple[Path, str], tiny: str, other_tiny: str
) -> None:
    top, w = ingested
    config = EmbedConfig(warehouse=w, encoder=tiny)
    first = embed.run(spark, config)
    assert (first.rows_in, first.rows_out, first.quarantined) == (11, 8, 3)
    warehouse = TableStore.open(spark, w)
    refused = {Path(r["path"]).name: r.asDict() for r in warehouse.read(QUARANTINE).collect()}
    assert {name: r["reason"] for name, r in refused.items() if name != "cut.png"} == {
        "8.png": "unreadable",
        "9.png": "changed",
    }
    assert refused["cut.png"]["stage"] == "embed"
    assert refused["9.png"]["detail"] == "the file is not the one that was ingested; ingest it again"
    assert all(r["image_id"] for r in refused.values())

    # the oracle: the same network called by hand, file by file
    encoder = resolve(tiny)
    runtime = load_runtime(export_graph(encoder), encoder, 1)
    prep = encoder.preprocessing
    found = embeddings(warehouse).set_index("image_id")
    assert set(found["encoder_id"]) == {encoder.encoder_id}
    assert len(found) == 8
    for i in range(8):
        data = (top / f"{i}.png").read_bytes()
        pixels = decode(data, (prep.height, prep.width), DecodeLimits(), prep.resample, prep.fit, prep.resize_to)
        wanted = runtime(pixels[None])[0]
        row = found.loc[hashlib.sha256(data).hexdigest()]
        np.testing.assert_allclose(np.frombuffer(row["embedding"], "<f4"), wanted, atol=1e-6)
        assert 0 <= row["brightness"] <= 1
    small = {row["image_id"]: bytes(row["thumbnail"]) for row in warehouse.read(THUMBNAILS).collect()}
    assert set(small) == set(found.index)
    assert {Image.open(io.BytesIO(jpeg)).format for jpeg in small.values()} == {"JPEG"}
    vectors = unpack(list(found["embedding"]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    # again: only what may have been mended is tried, and one that was is embedded
    again = embed.run(spark, config)
    assert (again.rows_in, again.rows_out, again.quarantined) == (2, 0, 2)
    assert len(embeddings(warehouse)) == 8
    shutil.copy(top / "7.png", top / "8.png")
    ingest.run(spark, IngestConfig(input=str(top), warehouse=w))
    mended = embed.run(spark, config)
    assert (mended.rows_in, mended.rows_out, mended.quarantined) == (1, 1, 0)  # 9.png; 8.png is 7.png now
    assert len(embeddings(warehouse)) == warehouse.read(THUMBNAILS).count() == 9

    # another encoder: the same table, under its own id; a thumbnail is of the image, and can be left out
    warehouse.delete(THUMBNAILS, F.lit(True))
    without = EmbedConfig(warehouse=w, encoder=other_tiny, thumbnails=False)
    assert embed.run(spark, without).rows_out == 9
    assert warehouse.read(THUMBNAILS).count() == 0
    counts = embeddings(warehouse).groupby("encoder_id").size()
    assert dict(counts) == {encoder.encoder_id: 9, resolve(other_tiny).encoder_id: 9}
    known = {r["encoder_id"]: r for r in warehouse.read(ENCODERS).collect()}
    assert set(known) == set(counts.index)
    assert known[encoder.encoder_id]["name"] == tiny
    assert known[encoder.encoder_id]["dim"] == encoder.dim

    # a worker has built each network once, though it ran many tasks
    for name in (tiny, other_tiny):
        built = built_in_workers(spark, ("encoder", resolve(name).encoder_id, 1))
        assert built
        assert max(built.values()) == 1


def built_in_workers(spark: SparkSession, key: tuple[str, str, int]) -> dict[int, int]:
    """process id → how often ``key`` was built there, over the workers that there are."""

    def look(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        from imgsearch.lake.worker import builds

        for _ in batches:
            yield pd.DataFrame([builds(key)], columns=["pid", "n"])

    frame = spark.range(0, 64, numPartitions=16).mapInPandas(look, "pid long, n long")
    counts = {r["pid"]: r["n"] for r in frame.collect()}
    return {pid: n for pid, n in counts.items() if n}


def test_a_stopped_run_goes_on_where_it_was(
    spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(9):
        draw(tmp_path / "in" / f"{i}.png", i)
    w = str(tmp_path / "w")
    ingest.run(spark, IngestConfig(input=str(tmp_path / "in"), warehouse=w))
    config = EmbedConfig(warehouse=w, encoder=tiny, slice_images=3)
    whole, calls = embed.embed_slice, []

    def stopping(*args: object) -> slices.Counts:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(embed, "embed_slice", stopping)
    with pytest.raises(KeyboardInterrupt):
        embed.run(spark, config)
    warehouse = TableStore.open(spark, w)
    before = set(embeddings(warehouse)["image_id"])
    monkeypatch.setattr(embed, "embed_slice", whole)
    rest = embed.run(spark, config)
    assert 0 < len(before) < 9
    assert rest.rows_out == 9 - len(before)
    after = embeddings(warehouse)["image_id"]
    assert len(after) == after.nunique() == 9
    jobs = [r["job"] for r in warehouse.read(RUNS).orderBy("started_at").collect()]
    assert jobs.count("embed") == 1
    assert jobs.count("embed slice") >= 2


def test_images_that_came_as_bytes(spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str) -> None:
    """Bytes of a table and files of a folder in one warehouse: the same content is embedded once."""
    one, two = draw(tmp_path / "in" / "1.png", 1), draw(tmp_path / "2.png", 2)
    table = [("t1", one.read_bytes()), ("t2", two.read_bytes())]
    spark.createDataFrame(table, "path string, content binary").write.format("delta").save(str(tmp_path / "t"))
    w = str(tmp_path / "w")
    ingest.run(spark, IngestConfig(input=str(tmp_path / "t"), warehouse=w))
    ingest.run(spark, IngestConfig(input=str(tmp_path / "in"), warehouse=w))
    draw(tmp_path / "in" / "3.png", 3)
    ingest.run(spark, IngestConfig(input=str(tmp_path / "in"), warehouse=w))
    done = embed.run(spark, EmbedConfig(warehouse=w, encoder=tiny))
    assert (done.rows_in, done.rows_out) == (3, 3)


def test_half_a_file_and_a_lost_copy(spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str) -> None:
    """What is wrong with other bytes is no refusal of the image; and any path that still holds it serves."""
    top, w = tmp_path / "in", str(tmp_path / "w")
    for i in range(4):
        draw(top / f"{i}.png", i)
    whole = (top / "1.png").read_bytes()
    for copy in ("0 copy.png", "0 first.png"):
        shutil.copy(top / "0.png", top / copy)
    ingest.run(spark, IngestConfig(input=str(top), warehouse=w))
    (top / "1.png").write_bytes(whole[: len(whole) // 2])  # a copy that is being made
    (top / "2.png").write_text("no picture now")
    (top / "0 copy.png").unlink()  # the first path of its image, and the second
    (top / "0 first.png").write_bytes(b"")
    config = EmbedConfig(warehouse=w, encoder=tiny)
    first = embed.run(spark, config)
    assert (first.rows_in, first.rows_out, first.quarantined) == (4, 2, 2)
    assert first.notes == ("2 refused images will be tried again by the next run (see 'quarantine')",)
    warehouse = TableStore.open(spark, w)
    refused = {Path(r["path"]).name: r["reason"] for r in warehouse.read(QUARANTINE).collect()}
    assert {name: refused[name] for name in ("1.png", "2.png")} == {"1.png": "changed", "2.png": "changed"}
    (top / "1.png").write_bytes(whole)
    again = embed.run(spark, config)
    assert (again.rows_in, again.rows_out, again.quarantined) == (2, 1, 1)


def test_what_cannot_be_embedded_with_is_told(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder; run `./spark-submit.sh ingest`"):
        embed.run(spark, EmbedConfig(warehouse=str(tmp_path / "none")))
    (tmp_path / "w").mkdir()
    with pytest.raises(UserError, match="there is no table 'images'"):
        embed.run(spark, EmbedConfig(warehouse=str(tmp_path / "w")))
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        embed.run(spark, EmbedConfig(warehouse=str(tmp_path / "w"), encoder="resnet5O"))
    assert not list((tmp_path / "w").iterdir())


def test_what_travels_to_the_workers_is_small(spark: SparkSession, tiny: str) -> None:
    from pyspark import cloudpickle

    graph = spark.sparkContext.broadcast(bytes(5_000_000))
    embedding = udf.embed_udf(resolve(tiny), graph, DecodeLimits())
    assert len(cloudpickle.dumps(embedding.func)) < 20_000
    spark.sparkContext._pickled_broadcast_vars.clear()  # the next UDF would take it along


def test_no_column_is_lost_on_the_way(spark: SparkSession, tmp_path: Path, draw: Draw, tiny: str) -> None:
    """``embed`` on a frame: the frame's own columns stay, an order is not needed."""
    path = draw(tmp_path / "a.png", 1)
    encoder = resolve(tiny)
    frame = spark.createDataFrame(
        [("x", str(path), None), ("y", "/no/where", None)], "id string, path string, content binary"
    )
    found = udf.embed(frame, encoder, udf.broadcast_graph(spark, encoder)).orderBy("id").collect()
    assert [(r["id"], r["reason"]) for r in found] == [("x", None), ("y", "unreadable")]
    assert found[1]["embedding"] is None
    assert found[0]["image_id"] == hashlib.sha256(path.read_bytes()).hexdigest()
