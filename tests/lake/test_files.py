"""Finding and reading files through Spark: local ones, and those of another filesystem (a view of the same disk)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from support.odd_tree import Draw, write_local, write_portable

from imgsearch.errors import UserError
from imgsearch.lake import files as lake_files
from imgsearch.lake.files import find_files, with_content, with_status


@pytest.fixture
def uri(spark: SparkSession, tmp_path: Path) -> str:
    """``tmp_path`` as Hadoop's API sees it: ``viewfs`` is no scheme that the driver opens by itself."""
    if not str(tmp_path).startswith("/tmp/"):
        pytest.skip("the temporary folder is not under /tmp")
    spark._jsc.hadoopConfiguration().set("fs.viewfs.mounttable.test.link./tmp", "file:///tmp")
    return f"viewfs://test{tmp_path}"


def test_a_folder_in_pages(spark: SparkSession, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write_local(tmp_path / "in", draw)
    whole = find_files(spark, f"file://{tmp_path}/in")
    assert whole is not None
    assert (whole.name, whole.root, whole.is_folder) == (f"{tmp_path}/in", f"{tmp_path}/in", True)
    rows = {os.path.relpath(r["path"], whole.root): r for r in whole.files.toArrow().to_pylist()}
    assert set(rows) == set(expected)
    assert whole.n_files == len(expected)
    assert all(
        abs(r["modified_at"].timestamp() - os.stat(r["path"]).st_mtime) < 1e-3 for r in rows.values() if not r["reason"]
    )
    monkeypatch.setattr(lake_files, "PAGE_ROWS", 10)
    staged: list[int] = []

    def stage(page: DataFrame) -> DataFrame:
        staged.append(page.count())
        page.write.parquet(f"{tmp_path}/page-{len(staged)}")
        return spark.read.parquet(f"{tmp_path}/page-{len(staged)}")

    paged = find_files(spark, str(tmp_path / "in"), stage=stage)
    assert paged is not None
    assert sum(staged) == len(expected)
    assert max(staged) == 10
    assert {r["path"] for r in paged.files.collect()} == {f"{tmp_path}/in/{name}" for name in expected}
    assert find_files(spark, str(tmp_path / "no such")) is None


def test_another_filesystem_lists_and_reads_the_same(spark: SparkSession, tmp_path: Path, uri: str, draw: Draw) -> None:
    expected = set(write_portable(tmp_path / "in", draw)) - {"x.crc"}  # Hadoop's own local filesystem hides checksums
    (tmp_path / "in" / "x.crc").unlink()
    found = find_files(spark, f"{uri}/in")
    assert found is not None
    assert (found.root, found.is_folder, found.n_files) == (f"{uri}/in", True, len(expected))
    rows = {r["path"].removeprefix(f"{uri}/in/"): r for r in with_content(spark, found.files, 200_000).collect()}
    assert set(rows) == expected
    for name, row in rows.items():
        data = (tmp_path / "in" / name).read_bytes()
        assert row["n_bytes"] == len(data)
        assert row["content"] == (data if 0 < len(data) <= 200_000 else None)
        assert row["reason"] is None
    assert find_files(spark, f"{uri}/none") is None
    globbed = find_files(spark, f"{uri}/in/{{deep*,#*}}")
    assert globbed is not None
    assert (globbed.root, globbed.is_folder, globbed.n_files) == (f"{uri}/in", False, 2)
    one = find_files(spark, f"{uri}/in/[1].png")
    assert one is not None
    assert (one.root, one.is_folder, one.n_files) == (f"{uri}/in", False, 1)


def test_the_status_of_paths_costs_a_row_at_worst(spark: SparkSession, tmp_path: Path, uri: str) -> None:
    (tmp_path / "a b%.jpg").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = {
        f"{tmp_path}/a b%.jpg": None, f"{uri}/a b%.jpg": None, f"{uri}/gone.jpg": "unreadable",
        f"{tmp_path}/gone.jpg": "unreadable", f"{tmp_path}/pipe.jpg": "not_a_file", f"{uri}": "not_a_file",
        "nofs://bucket/x.jpg": "unreadable", "http://127.0.0.1:1/x.jpg": "unreadable", "s3a:/": "unreadable",
        "hdfs://127.0.0.1:1/x.jpg": "unreadable", "/dev/zero": "not_a_file", "/proc/self/environ": "not_a_file",
    }  # fmt: skip
    frame = spark.createDataFrame([(p,) for p in paths], "path string")
    rows = {r["path"]: r for r in with_content(spark, with_status(spark, frame)).collect()}
    assert {path: row["reason"] for path, row in rows.items()} == paths
    for path, row in rows.items():
        if row["reason"] is None:
            assert (row["n_bytes"], row["content"]) == (3, b"abc" if path.startswith("viewfs") else None)
        elif "://" in path:
            assert row["detail"].startswith(path.split(":")[0] + ": ") or row["reason"] == "not_a_file"
    nothing = with_content(spark, spark.createDataFrame([(f"{uri}/gone.jpg",)], "path string")).collect()
    assert [r["content"] for r in nothing] == [None]


def test_an_input_that_does_not_answer_is_one_line(spark: SparkSession) -> None:
    for where, said in (("nofs://bucket/x", "no filesystem is configured"), ("http://127.0.0.1:1/", "the web is not")):
        with pytest.raises(UserError, match=f"--input {where}: {where.split(':')[0]}: {said}"):
            find_files(spark, where)
