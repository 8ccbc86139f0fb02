"""Ingest: every file a row of ``images`` or of ``quarantine``, whatever it is called, as often as one likes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.exif_files import photograph

from imgsearch.config import IngestConfig
from imgsearch.errors import UserError
from imgsearch.images import ingest
from imgsearch.images.columns import free_names
from imgsearch.images.exif import NOTHING
from imgsearch.images.inspection import EXIF_NAMES, inspect_one
from imgsearch.images.sources import read_source
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.lake.store import TableStore
from imgsearch.tables import CONTENTS, EMBEDDINGS, IMAGES, LABEL_NEXT, MAP_POINTS, QUARANTINE, RUNS, THUMBNAILS

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
    assert "unchanged" not in first.details
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
    assert again.details["unchanged"] == "11"  # nine images, and two refusals that only other bytes can mend
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
    os.mkfifo(tmp_path / "pics" / "pipe.png")
    with open(tmp_path / "pics" / "sparse.png", "wb") as file:
        file.truncate(3 << 30)
    table = str(tmp_path / "table")
    paths = [
        ("pics/a b%.png", "B"), ("pics/../pics/a b%.png", "A"), (f"file://{tmp_path}/pics/a b%.png", "C"),
        (str(tmp_path / "pics" / "none.png"), "B"), (None, "C"), (None, "D"), ("pics/pipe.png", "A"),
        ("pics/sparse.png", "A"), ("../../etc/passwd", "A"), ("/dev/zero", "A"), ("s3a://nowhere/x.png", "A"),
        ("nofs://bucket/x.png", "A"), ("http://127.0.0.1:1/x.png", "A"), ("pics", "A"),
    ]  # fmt: skip
    spark.createDataFrame(paths, "Path string, site string").write.format("delta").save(table)
    config = IngestConfig(input=table, warehouse=str(tmp_path / "w"))
    summary = ingest.run(spark, config)
    assert (summary.rows_in, summary.rows_out, summary.quarantined) == (14, 3, 11)
    assert summary.details["repeated"] == "3"
    warehouse = TableStore.open(spark, config.warehouse)
    images = rows(warehouse, IMAGES)
    assert {path: row["site"] for path, row in images.items()} == {str(tmp_path / "pics" / "a b%.png"): "A"}
    refused = rows(warehouse, QUARANTINE)
    assert {os.path.basename(path): row["reason"] for path, row in refused.items()} == {
        "none.png": "unreadable", "table#no path": "no_path", "pipe.png": "not_a_file", "sparse.png": "too_large",
        "passwd": "outside", "zero": "not_a_file", "x.png": "unreadable", "pics": "not_a_file",
    }  # fmt: skip
    assert all(refused[p]["detail"].startswith(p.split(":")[0]) for p in refused if "://" in p)
    assert not warehouse.exists(CONTENTS)
    spark.createDataFrame([(paths[0][0], "Z")], "Path string, site string").write.format("delta").mode(
        "overwrite"
    ).save(table)
    again = ingest.run(spark, config)  # only the metadata changed
    assert (again.rows_in, again.rows_out, again.details["unchanged"]) == (1, 1, "1")
    assert [row["site"] for row in rows(warehouse, IMAGES).values()] == ["Z"]


def test_a_table_accounts_for_every_row(spark: SparkSession, tmp_path: Path, draw: Draw) -> None:
    """One path with several contents is several images; the same path and content twice is one."""
    pictures = [draw(tmp_path / f"{i}.png", i).read_bytes() for i in range(4)]
    given = [("p", pictures[0], 2), ("p", pictures[1], 1), ("q", pictures[2], 1), ("q", pictures[2], 0)]
    given += [(None, pictures[3], 5), (None, pictures[3], 4), (None, None, 7), ("e", b"", 1)]
    table = str(tmp_path / "table")
    spark.createDataFrame(given, "path string, content binary, n int").write.format("delta").save(table)
    config = IngestConfig(input=table, warehouse=str(tmp_path / "w"))
    summary = ingest.run(spark, config)
    assert (summary.rows_in, summary.rows_out, summary.quarantined) == (8, 6, 2)
    assert summary.details["repeated"] == "2"
    warehouse = TableStore.open(spark, config.warehouse)
    ids = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    assert {(path, row["n"]) for path, row in rows(warehouse, IMAGES).items()} == {
        (f"p#{ids[0]}", 2), (f"p#{ids[1]}", 1), ("q", 0), (f"{table}#{ids[3]}", 4),
    }  # fmt: skip
    assert {r["image_id"] for r in warehouse.read(CONTENTS).collect()} == set(ids)
    again = ingest.run(spark, config)
    assert (again.rows_in, again.rows_out, again.quarantined) == (8, 6, 2)


def test_what_is_gone_or_overwritten_leaves(spark: SparkSession, tmp_path: Path, draw: Draw) -> None:
    """Derived rows of an image leave when no path holds its bytes any more, and not before."""
    folder = tmp_path / "in"
    for kind in range(8):
        draw(folder / f"{kind}.png", kind)
    draw(folder / "copy of 0.png", 0)
    (folder / "bad.png").write_text("no picture")
    draw(tmp_path / "elsewhere" / "9.png", 9)
    config = IngestConfig(input=str(folder), warehouse=str(tmp_path / "w"))
    ids = [sha(folder / f"{kind}.png") for kind in range(8)]
    for source in (config, IngestConfig(input=str(tmp_path / "elsewhere"), warehouse=config.warehouse)):
        ingest.run(spark, source)
    warehouse = TableStore.open(spark, config.warehouse)
    every = [*ids, sha(tmp_path / "elsewhere" / "9.png")]
    frame = spark.createDataFrame(
        [(i, "e", b"\0\0\x80?") for i in every], "image_id string, encoder_id string, embedding binary"
    )
    warehouse.append(EMBEDDINGS, frame)
    places = [{"image_id": i, "projection_id": "p", "x": 0.0, "y": 0.0, "is_anchor": True} for i in every]
    DeltaFolder.open(config.warehouse).append(MAP_POINTS, places)  # as the review page does it
    DeltaFolder.open(config.warehouse).append(THUMBNAILS, [{"image_id": i, "thumbnail": b"jpeg"} for i in every])
    listed = [(n, i, "p", 1.0) for n, i in enumerate(every)]
    warehouse.append(
        LABEL_NEXT, spark.createDataFrame(listed, "rank int, image_id string, projection_id string, settles float")
    )
    (folder / "0.png").unlink()  # its copy is there
    (folder / "1.png").unlink()
    draw(folder / "2.png", 20)  # another picture
    (folder / "3.png").write_text("no picture")
    (folder / "4.png").write_bytes(b"")
    (folder / "5.png").rename(folder / "moved.png")
    (folder / "bad.png").unlink()

    said = ingest.run(spark, config)
    assert (said.rows_in, said.rows_out, said.quarantined) == (7, 5, 2)
    assert {k: said.details[k] for k in ("gone", "changed")} == {"gone": "4", "changed": "3"}
    assert any("4 files of this input are gone" in note and "--prune" in note for note in said.notes)
    held = rows(warehouse, IMAGES)
    refused = rows(warehouse, QUARANTINE)
    assert not set(held) & set(refused)
    assert {os.path.basename(p) for p in refused} == {"3.png", "4.png", "bad.png"}
    assert {os.path.basename(p) for p in held} == {
        "0.png", "1.png", "2.png", "5.png", "6.png", "7.png", "moved.png", "copy of 0.png", "9.png",
    }  # fmt: skip
    embedded = {r["image_id"] for r in warehouse.read(EMBEDDINGS).collect()}
    assert embedded == set(every) - set(ids[2:5])
    assert {r["image_id"] for r in warehouse.read(MAP_POINTS).collect()} == embedded

    pruned = ingest.run(spark, IngestConfig(input=str(folder), warehouse=config.warehouse, prune=True))
    assert (pruned.rows_in, pruned.rows_out, pruned.quarantined) == (7, 5, 2)
    assert {os.path.basename(p) for p in rows(warehouse, IMAGES)} == {
        "2.png", "6.png", "7.png", "moved.png", "copy of 0.png", "9.png",
    }  # fmt: skip
    assert {os.path.basename(p) for p in rows(warehouse, QUARANTINE)} == {"3.png", "4.png"}
    embedded = {r["image_id"] for r in warehouse.read(EMBEDDINGS).collect()}
    assert embedded == {ids[0], *ids[5:], every[-1]}
    for spec in (MAP_POINTS, LABEL_NEXT, THUMBNAILS):
        assert {r["image_id"] for r in warehouse.read(spec).collect()} == embedded
    last = ingest.run(spark, IngestConfig(input=str(folder), warehouse=config.warehouse, prune=True))
    assert "gone" not in last.details
    assert set(last.details) == {"input", "distinct", "unchanged"}


def test_only_what_changed_is_read(spark: SparkSession, tmp_path: Path, draw: Draw) -> None:
    folder = tmp_path / "in"
    one, two = draw(folder / "one.png", 1), draw(folder / "two.png", 2)
    config = IngestConfig(input=str(folder), warehouse=str(tmp_path / "w"))
    ingest.run(spark, config)
    warehouse = TableStore.open(spark, config.warehouse)
    before = one.stat()
    data = draw(tmp_path / "other.png", 3).read_bytes()
    one.write_bytes(data.ljust(before.st_size, b"\0")[: before.st_size])  # other bytes, of the same size and time
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(two, (1, 1))  # another time, the same bytes
    again = ingest.run(spark, config)
    assert again.details["unchanged"] == "1"
    assert "changed" not in again.details
    held = rows(warehouse, IMAGES)
    assert held[str(one)]["image_id"] != sha(one)
    assert held[str(two)]["modified_at"].timestamp() == 1
    assert ingest.run(spark, config).details["unchanged"] == "2"
    forced = ingest.run(spark, IngestConfig(input=str(folder), warehouse=config.warehouse, rehash=True))
    assert forced.details["changed"] == "1"
    refused_or_new = rows(warehouse, IMAGES).get(str(one)) or rows(warehouse, QUARANTINE)[str(one)]
    assert refused_or_new["image_id"] == sha(one)


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
        read_source(spark, "no.such.table", "queries")


def test_what_the_camera_wrote_is_noted_or_not(spark: SparkSession, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "in" / "plain.png", 1)
    (tmp_path / "in" / "photo.jpg").write_bytes(photograph())
    w = str(tmp_path / "w")

    def noted() -> dict[str, tuple[object, ...]]:
        rows = TableStore.open(spark, w).read(IMAGES).toArrow().to_pylist()
        return {Path(row["path"]).name: tuple(row[name] for name in EXIF_NAMES) for row in rows}

    config = IngestConfig(input=str(tmp_path / "in"), warehouse=w)
    ingest.run(spark, config)
    exif = noted()["photo.jpg"]
    assert exif == (
        datetime(2024, 5, 6, 21, 30, tzinfo=UTC),
        "Canon EOS 5D",
        "EF 50mm",
        pytest.approx(48.51),
        -11.25,
        6,
    )
    assert set(noted()["plain.png"]) == {None}
    ingest.run(spark, config)
    assert noted()["photo.jpg"] == exif  # a file that is not read again keeps it
    ingest.run(spark, replace(config, exif=False, rehash=True))
    assert set(noted()["photo.jpg"]) == {None}


def test_one_file_at_a_time(tmp_path: Path, draw: Draw) -> None:
    path = draw(tmp_path / "a.png", 1)
    data = path.read_bytes()

    def look(*row: object, max_pixels: int = 10**6, max_bytes: int = 10**6) -> tuple[object, ...]:
        return inspect_one(*row, max_pixels=max_pixels, max_bytes=max_bytes)  # type: ignore[arg-type]

    good = look(str(path), None, float("nan"), None, None)
    assert good == (hashlib.sha256(data).hexdigest(), "PNG", 40, 30, 1, len(data), None, None, NOTHING)
    assert look("k", data, len(data), None, None) == good
    large = look(str(path), None, float(len(data)), None, None, max_bytes=10)
    assert (large[0], large[5], large[6]) == (None, len(data), "too_large")
    assert look("k", data, None, None, None, max_bytes=10)[6] == "too_large"
    bomb = look("k", data, len(data), None, None, max_pixels=40 * 30 - 1)
    assert (bomb[0], bomb[6]) == (good[0], "too_many_pixels")
    empty = look("/no/such/file", None, 0.0, None, None)
    assert (empty[0], empty[6]) == (hashlib.sha256(b"").hexdigest(), "empty")
    refused = look("/dev/zero", None, 5.0, "outside", "a link")
    assert (refused[0], refused[5:8]) == (None, (5, "outside", "a link"))


def test_names_and_types_that_people_have(spark: SparkSession, tmp_path: Path, draw: Draw) -> None:
    """Folders and tables with hostile names; types of all kinds; and a second batch with another type of one name."""
    top = tmp_path / "in"
    keys = ["v1.2", "label", "Site", "site", "visit date", "visit_date", "cluster_id", "select", "k" * 200, "😀", "a`b"]
    for i, key in enumerate(keys):
        draw(top / f"{key}=pump {i}" / f"{i}.png", i)
    draw(top / "date=2024-01-01%2010%3A00" / "site=__HIVE_DEFAULT_PARTITION__" / "h.png", 90)
    w = str(tmp_path / "w")
    said = ingest.run(spark, IngestConfig(input=str(top), warehouse=w))
    assert (said.rows_in, said.rows_out) == (12, 12)
    assert any("'label' is meta_label" in note and "'v1.2' is v1_2" in note for note in said.notes)
    warehouse = TableStore.open(spark, w)
    images = {Path(path).name: row for path, row in rows(warehouse, IMAGES).items()}
    columns = free_names(sorted(keys), taken=["folder"])
    assert {key: images[f"{i}.png"][columns[key]] for i, key in enumerate(keys)} == {
        key: f"pump {i}" for i, key in enumerate(keys)
    }
    assert (images["h.png"]["date"], images["h.png"]["site_2"], images["h.png"]["Site"]) == (
        "2024-01-01 10:00", None, None,
    )  # fmt: skip

    table = str(tmp_path / "table")
    picture = draw(tmp_path / "x.png", 95).read_bytes()
    spark.createDataFrame([("k", picture, 5)], "path string, content binary, v1_2 int").selectExpr(
        "*", "date '2024-01-01' AS day", "timestamp '2024-01-01' AS moment", "timestamp_ntz '2024-01-01' AS ntz",
        "1.50BD AS price", "named_struct('a', array(1)) AS nested", "map('k', 1) AS tags", "X'00' AS raw",
        "true AS ok", "CAST(NULL AS INT) AS nothing", "1.5F AS score", *[f"{i} AS c{i}" for i in range(300)],
    ).write.format("delta").save(table)  # fmt: skip
    said = ingest.run(spark, IngestConfig(input=table, warehouse=w))
    assert said.rows_out == 1
    assert any("columns left out: 'raw' (binary)" in note for note in said.notes)
    row = rows(warehouse, IMAGES)["k"]
    assert (row["v1_2"], str(row["price"]), row["nested"]["a"], row["tags"], row["ok"]) == (
        "5", "1.50", [1], {"k": 1}, True,
    )  # fmt: skip
    assert (row["day"].year, row["moment"].year, row["ntz"][:4], row["meta_score"], row["c299"]) == (
        2024, 2024, "2024", 1.5, 299,
    )  # fmt: skip
    before = warehouse.version(IMAGES)
    text = [("k2", picture, "7"), ("k3", picture, "A0")]
    frame = spark.createDataFrame(text, "path string, content binary, c0 string")
    frame.write.format("delta").save(table + "2")
    with pytest.raises(UserError, match="column 'c0' is string here and int in the warehouse, where 'A0' has no place"):
        ingest.run(spark, IngestConfig(input=table + "2", warehouse=w))
    assert warehouse.version(IMAGES) == before
