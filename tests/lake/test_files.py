"""Finding files: every name that a disk can hold, once each. The walk needs no Spark; what Spark does comes last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from imgsearch.errors import ImageError
from imgsearch.lake.files import _walk, find_files, printable, read_local, with_content

NAMES = [
    "plain.jpg", "with space.jpg", "a+b.jpg", "100%.jpg", "a%20b.jpg", "_MG_1234.JPG", ".hidden.jpg", "ä ö.jpg",
    "comma,quote'\".jpg", "[1].jpg", "{x}.jpg", "star*.jpg", "q?.jpg", "#1;2.jpg", "back\\slash.jpg", "new\nline.jpg",
]  # fmt: skip


def fill(folder: Path) -> set[str]:
    for i, name in enumerate(NAMES):
        place = folder if i % 2 else folder / "deep er" / "site=A"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    return {str(p) for p in folder.rglob("*") if p.is_file()}


def test_every_name_is_found_once(tmp_path: Path) -> None:
    wanted = fill(tmp_path)
    found = [name for name, _ in _walk(str(tmp_path))]
    assert len(found) == len(NAMES)
    assert set(found) == wanted


def test_loops_of_links_end_and_a_linked_folder_is_entered_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.jpg").write_bytes(b"1")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = [name for name, _ in _walk(str(tmp_path))]
    assert sum(name.endswith("one.jpg") for name in found) == 1
    assert [name for name in found if name.endswith("/self")]  # a link to nothing is accounted for


def test_a_dangling_link_is_a_row_and_unreadable(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    ((name, _),) = _walk(str(tmp_path))
    with pytest.raises(ImageError) as caught:
        read_local(name)
    assert caught.value.reason == "unreadable"


def test_a_name_that_is_no_utf8_is_a_row_and_unreadable(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(raw, "wb") as file:
        file.write(b"x")
    ((name, stat),) = _walk(str(tmp_path))
    assert name == f"{tmp_path}/caf\\xe9.jpg"
    assert stat.st_size == 1
    name.encode("utf-8")
    with pytest.raises(ImageError):
        read_local(name)


def test_printable_leaves_good_names_alone() -> None:
    assert printable("/a b/ä%.jpg") == "/a b/ä%.jpg"


@pytest.mark.parametrize("prefix", ["", "file:", "file://"])
def test_local_files_are_read_with_or_without_a_scheme(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "a b%.jpg").write_bytes(b"bytes")
    assert read_local(f"{prefix}{tmp_path}/a b%.jpg") == b"bytes"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="unreadable"):
        read_local(str(tmp_path))


def test_folder_file_and_glob(spark: SparkSession, tmp_path: Path) -> None:
    wanted = fill(tmp_path / "in")
    found = find_files(spark, str(tmp_path / "in"), 10**9)
    assert found is not None
    rows = found.files.toArrow().to_pylist()
    assert {row["path"] for row in rows} == wanted
    assert all(row["n_bytes"] == os.stat(row["path"]).st_size for row in rows)
    assert all(abs(row["modified_at"].timestamp() - os.stat(row["path"]).st_mtime) < 1e-3 for row in rows)
    one = find_files(spark, str(tmp_path / "in" / "with space.jpg"), 10**9)
    assert one is not None
    assert [r["path"] for r in one.files.collect()] == [str(tmp_path / "in" / "with space.jpg")]
    literal = find_files(spark, str(tmp_path / "in" / "star*.jpg"), 10**9)  # a file of that very name
    assert literal is not None
    assert literal.files.count() == 1
    globbed = find_files(spark, f"{tmp_path}/in/**", 10**9)  # folders and the files in them
    assert globbed is not None
    assert globbed.root == str(tmp_path / "in")
    assert sorted(r["path"] for r in globbed.files.collect()) == sorted(wanted)
    nothing = find_files(spark, f"{tmp_path}/in/*.tiff", 10**9)
    assert nothing is None or nothing.files.count() == 0
    assert find_files(spark, str(tmp_path / "no such"), 10**9) is None


def test_files_that_spark_reads(spark: SparkSession, tmp_path: Path) -> None:
    """A URI other than file: goes through Spark; here a view of the same disk."""
    folder = tmp_path / "in"
    (folder / "x=1").mkdir(parents=True)
    for name in ("a b+c%.jpg", "x=1/d.jpg", "big.jpg"):
        (folder / name).write_bytes(name.encode() * (100 if name == "big.jpg" else 1))
    uri = f"viewfs://test{folder}"
    hadoop = spark._jsc.hadoopConfiguration()
    hadoop.set("fs.viewfs.mounttable.test.link./tmp", "file:///tmp")
    if not str(folder).startswith("/tmp/"):
        pytest.skip("the temporary folder is not under /tmp")
    found = find_files(spark, uri, 50)
    assert found is not None
    rows = {row["path"].rsplit("/", 1)[1]: row for row in found.files.collect()}
    assert set(rows) == {"a b+c%.jpg", "d.jpg", "big.jpg"}
    assert rows["a b+c%.jpg"]["content"] == b"a b+c%.jpg"
    assert rows["big.jpg"]["content"] is None
    assert rows["big.jpg"]["n_bytes"] == 700
    assert find_files(spark, uri + "/none", 50) is None
    paths = [rows["a b+c%.jpg"]["path"], str(folder / "local.jpg"), uri + "/gone.jpg"]
    frame = with_content(spark, spark.createDataFrame([(p,) for p in paths], "path string"))
    assert {r["path"]: r["content"] for r in frame.collect()} == {
        paths[0]: b"a b+c%.jpg",
        paths[1]: None,
        paths[2]: None,
    }
