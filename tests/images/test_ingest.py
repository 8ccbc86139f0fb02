"""Ingest: every file a row of ``images`` or of ``quarantine``, whatever it is called, as often as one likes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from imgsearch.config import IngestConfig
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.images.ingest import inspect_one
from imgsearch.images.sources import read_source
from imgsearch.lake.store import TableStore
from imgsearch.tables import CONTENTS, IMAGES, QUARANTINE, RUNS

Draw = Callable[..., Path]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows(warehouse: TableStore, spec: object) -> dict[str, dict]:  # type: ignore[type-arg]
    return {r["path"]: r.asDict() for r in warehouse.read(spec).collect()}  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """Nine usable files (two of one content), five that are not."""
    top = tmp_path / "in put"
    for kind, name in enumerate(("a+b.png", "100%.png", "a%20b.png", "_MG_1.png", ".hidden.png"), start=10):
        draw(top / "site=A" / "deep" / name, kind)
    draw(top / "site=B" / "half=" / "x.png", 1)
    shutil.copy(top / "site=B" / "half=" / "x.png", top / "copy of x.png")
    draw(top / "site=B" / "width=3" / "my key=v" / "y.png", 2)
    draw(top / "z.bmp", 3, size=(7, 5))
    whole = (top / "z.bmp").read_bytes()
    (top / "cut.png").write_bytes((top / "site=A" / "deep" / "a+b.png").read_bytes()[:20])
    (top / "empty.jpg").touch()
    (top / "notes.jpg").write_text("not a picture")
    (top / "gone.png").symlink_to(top / "nowhere.png")
    with open(os.fsencode(top) + b"/caf\xe9.bmp", "wb") as file:
        file.write(whole)
    return top


def test_a_folder_of_every_kind_of_file(spark: SparkSession, folder: Path, tmp_path: Path, draw: Draw) -> None:
    config = IngestConfig(input=str(folder), warehouse=str(tmp_path / "w"))
    first = ingest.run(spark, config)
    assert (first.rows_in, first.rows_out, first.quarantined) == (14, 9, 5)
    assert first.details["distinct"] == "8"
    warehouse = TableStore.open(spark, config.warehouse)
    images, refused = rows(warehouse, IMAGES), rows(warehouse, QUARANTINE)
    assert all(row["image_id"] == sha(Path(path)) for path, row in images.items())
    assert {os.path.basename(p): r["reason"] for p, r in refused.items()}.keys() == {
        "cut.png", "empty.jpg", "notes.jpg", "gone.png", "caf\\xe9.bmp",
    }  # fmt: skip
    assert refused[f"{folder}/gone.png"]["reason"] == "unreadable"
    assert refused[f"{folder}/gone.png"]["image_id"] is None
    assert refused[f"{folder}/empty.jpg"]["image_id"] == hashlib.sha256(b"").hexdigest()
    assert all(r["stage"] == "ingest" and r["encoder_id"] is None and r["detail"] for r in refused.values())
    z = images[f"{folder}/z.bmp"]
    assert (z["format"], z["width"], z["height"], z["source"]) == ("BMP", 7, 5, str(folder))
    assert z["n_bytes"] == (folder / "z.bmp").stat().st_size
    assert z["modified_at"].timestamp() == pytest.approx((folder / "z.bmp").stat().st_mtime, abs=1e-3)
    assert (z["folder"], z["folder_1"], z["site"]) == ("", None, None)
    deep = images[f"{folder}/site=A/deep/100%.png"]
    assert (deep["folder"], deep["folder_1"], deep["folder_2"], deep["site"]) == ("site=A/deep", None, "deep", "A")
    named = images[f"{folder}/site=B/width=3/my key=v/y.png"]
    assert (named["meta_width"], named["my_key"], named["width"]) == ("3", "v", 40)
    assert images[f"{folder}/site=B/half=/x.png"]["half"] == ""

    versions = warehouse.version(IMAGES), warehouse.version(QUARANTINE)
    again = ingest.run(spark, config)
    assert (again.rows_in, again.rows_out, again.quarantined) == (14, 9, 5)
    assert (warehouse.version(IMAGES), warehouse.version(QUARANTINE)) == versions

    draw(folder / "cut.png", 9)  # mended
    draw(folder / "z.bmp", 4)  # another picture at the same place
    mended = ingest.run(spark, config)
    assert (mended.rows_out, mended.quarantined) == (10, 4)
    images, refused = rows(warehouse, IMAGES), rows(warehouse, QUARANTINE)
    assert f"{folder}/cut.png" not in refused
    assert images[f"{folder}/cut.png"]["image_id"] == sha(folder / "cut.png")
    assert images[f"{folder}/z.bmp"]["image_id"] == sha(folder / "z.bmp")
    assert len(images) == 10
    runs = warehouse.read(RUNS).orderBy("started_at").collect()
    assert [r["rows_out"] for r in runs] == [9, 9, 10]
    assert runs[0]["versions_written"] == {"images": 0, "quarantine": 0}
    assert runs[1]["versions_written"] == {}


def test_a_table_with_the_bytes(spark: SparkSession, tmp_path: Path, draw: Draw) -> None:
    one, two = (draw(tmp_path / f"{i}.png", i).read_bytes() for i in range(2))
    table = str(tmp_path / "table")
    given = [
        ("k1", one, "Ä", 5, [1]),
        ("k2", one, "B", 6, None),
        (None, two, None, 7, None),
        ("k4", None, "B", 8, None),
        ("k5", b"text", "B", 9, None),
    ]
    ddl = "path string, content binary, `Site Name` string, width int, tags array<int>"
    mapped = {"delta.columnMapping.mode": "name"}  # without it Delta itself refuses a space in a column's name
    spark.createDataFrame(given, ddl).write.format("delta").options(**mapped).save(table)
    config = IngestConfig(input=table, warehouse=str(tmp_path / "w"))
    first = ingest.run(spark, config)
    assert (first.rows_in, first.rows_out, first.quarantined) == (5, 3, 2)
    warehouse = TableStore.open(spark, config.warehouse)
    images = rows(warehouse, IMAGES)
    unnamed = f"{table}#{hashlib.sha256(two).hexdigest()}"
    assert set(images) == {"k1", "k2", unnamed}
    assert (images["k1"]["Site_Name"], images["k1"]["meta_width"], images["k1"]["tags"]) == ("Ä", 5, [1])
    assert images["k1"]["width"] == 40
    assert images["k1"]["n_bytes"] == len(one)
    assert "content" not in images["k1"]
    contents = {r["image_id"]: bytes(r["content"]) for r in warehouse.read(CONTENTS).collect()}
    assert contents == {hashlib.sha256(c).hexdigest(): c for c in (one, two)}
    ingest.run(spark, config)
    assert warehouse.read(CONTENTS).count() == 2
    assert set(rows(warehouse, QUARANTINE)) == {"k4", "k5"}


def test_a_table_of_paths(spark: SparkSession, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "pics" / "a b%.png", 1)
    table = str(tmp_path / "table")
    paths = [("pics/a b%.png", "A"), (str(tmp_path / "pics" / "none.png"), "B"), (None, "C"), ("pics/a b%.png", "A")]
    spark.createDataFrame(paths, "Path string, site string").write.format("delta").save(table)
    config = IngestConfig(input=table, warehouse=str(tmp_path / "w"))
    summary = ingest.run(spark, config)
    assert (summary.rows_in, summary.rows_out, summary.quarantined) == (2, 1, 1)
    warehouse = TableStore.open(spark, config.warehouse)
    assert rows(warehouse, IMAGES)[str(tmp_path / "pics" / "a b%.png")]["site"] == "A"
    assert [r["reason"] for r in rows(warehouse, QUARANTINE).values()] == ["unreadable"]
    assert not warehouse.exists(CONTENTS)


def test_what_cannot_be_ingested_is_told_and_nothing_is_made(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    spark.range(2).write.format("delta").save(str(tmp_path / "ids"))
    spark.createDataFrame([("x",)], "content string").write.format("delta").save(str(tmp_path / "text"))
    mistakes = {
        "empty": "there is no file in it; give a folder, glob or table with images",
        "none": "there is no such folder, file, glob match or Delta table; check the name",
        "*.none": "there is no",
        "ids": "the table has neither a 'content' nor a 'path' column (it has ['id'])",
        "text": "column 'content' is string, not binary",
    }
    for name, said in mistakes.items():
        with pytest.raises(UserError) as caught:
            ingest.run(spark, IngestConfig(input=str(tmp_path / name), warehouse=str(tmp_path / "w")))
        assert said in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)
        assert not (tmp_path / "w").exists()
    with pytest.raises(UserError, match=r"--queries no\.such\.table: there is no such"):
        read_source(spark, "no.such.table", 10, "queries")


def test_one_file_at_a_time(tmp_path: Path, draw: Draw) -> None:
    path = draw(tmp_path / "a.png", 1)
    data = path.read_bytes()
    good = inspect_one(str(path), None, float("nan"), 10**6, 10**6)
    assert good == (hashlib.sha256(data).hexdigest(), "PNG", 40, 30, len(data), None, None)
    assert inspect_one("k", data, len(data), 10**6, 10**6) == good
    large = inspect_one(str(path), None, float(len(data)), 10**6, 10)
    assert (large[0], large[4], large[5]) == (None, len(data), "too_large")
    bomb = inspect_one("k", data, len(data), 40 * 30 - 1, 10**6)
    assert bomb[0] == good[0]
    assert bomb[5] is not None
    assert bomb[5] != "too_large"
