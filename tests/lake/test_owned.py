"""Nothing is written over or removed that is not ours, on any filesystem, and no link is followed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from pyspark.sql import SparkSession

from imgsearch.errors import UserError
from imgsearch.lake.csv_files import write_file
from imgsearch.lake.owned import check_file, claim, folder_at
from imgsearch.lake.remote_files import leave, leave_folder
from imgsearch.lake.shared_files import LocalFolder
from imgsearch.lake.staging import STAGING, Staging

MARKER, PARTS = ".ours", ("delta", "report")


def claimed(path: Path) -> None:
    claim(LocalFolder(path), MARKER, "output", str(path), PARTS)


def test_a_folder_is_ours_if_new_empty_or_marked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new/deep", "empty"):
        claimed(tmp_path / name)
        assert (tmp_path / name / MARKER).is_file()  # marked before anything else is there
        (tmp_path / name / "report").mkdir()
        claimed(tmp_path / name)
    (tmp_path / "theirs" / "report").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name, said in (
        ("theirs", r"is not empty and no earlier run made it \(no .ours in it\)"),
        ("file", "is a file"),
    ):
        with pytest.raises(UserError, match=f"--output .*{name}: {said}; give a new or empty folder"):
            claimed(tmp_path / name)
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["report"]


@pytest.mark.parametrize("link", ["report", "report/thumbnails", "delta/dim_image"])
def test_a_link_where_we_would_write_is_a_mistake(tmp_path: Path, link: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.doc").touch()
    claimed(tmp_path / "out")
    (tmp_path / "out" / link).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / link).symlink_to(theirs)
    with pytest.raises(UserError, match=f"{link} in it is a link; remove it, or give a new folder"):
        claimed(tmp_path / "out")


def test_removing_does_not_follow_links(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.doc").touch()
    ours = tmp_path / "ours"
    (ours / "thumbnails").mkdir(parents=True)
    (ours / "thumbnails" / "inside").symlink_to(theirs)
    (ours / "link").symlink_to(theirs)
    for name in ("thumbnails", "link", "none"):
        LocalFolder(ours).remove(name)
    assert list(ours.iterdir()) == []
    assert (theirs / "thesis.doc").exists()


def test_a_file_is_ours_if_new_empty_or_like_what_we_write(tmp_path: Path) -> None:
    table = pa.table({"metric": ["map"], "k": [1], "value": [0.5]})
    for name in ("m.csv", "m.parquet"):
        out = str(tmp_path / name)
        check_file(out, "metric")
        write_file(table, out)
        check_file(out, "metric")
        with pytest.raises(UserError, match=r"is there and no earlier run made it \(no column 'query_id'\); give"):
            check_file(out, "query_id")
        Path(out).write_text("")
        check_file(out, "metric")
        Path(out).write_text("my thesis")
        with pytest.raises(UserError, match="is there and no earlier run made it"):
            check_file(out, "metric")
    (tmp_path / "f.csv").mkdir()
    with pytest.raises(UserError, match=r"f\.csv: is a folder; give the name of a file"):
        check_file(str(tmp_path / "f.csv"), "metric")


@pytest.fixture
def remote(spark: SparkSession) -> str:
    """A scheme that nothing here opens by itself: Hadoop's own ``viewfs`` over /tmp."""
    spark._jsc.hadoopConfiguration().set("fs.viewfs.mounttable.test.link./tmp", "file:///tmp")
    return "viewfs://test"


def test_the_same_rule_on_another_filesystem(spark: SparkSession, remote: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    (theirs / "report").mkdir(parents=True)
    (theirs / "report" / "thesis.doc").touch()
    (tmp_path / "file").touch()

    def claimed_there(path: Path) -> None:
        claim(folder_at(spark, f"{remote}{path}"), MARKER, "output", f"{remote}{path}", PARTS)

    for place in (theirs, tmp_path / "file"):
        with pytest.raises(UserError, match="give a new or empty folder"):
            claimed_there(place)
    claimed_there(ours)
    assert (ours / MARKER).is_file()
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "index.html").write_text("x")
    leave_folder(tmp_path / "made", f"{remote}{ours}/report")
    claimed_there(ours)
    assert (theirs / "report" / "thesis.doc").exists()

    for name, content in (("a.csv", "path,label\n"), ("b.csv", "metric,k\n")):
        (tmp_path / name).write_text(content)
    pyarrow.parquet.write_table(pa.table({"metric": ["map"]}), tmp_path / "c.parquet")
    for name in ("b.csv", "c.parquet", "new.csv"):
        check_file(f"{remote}{tmp_path}/{name}", "metric")
    with pytest.raises(UserError, match="is there and no earlier run made it"):
        check_file(f"{remote}{tmp_path}/a.csv", "metric")
    with pytest.raises(UserError, match="is a folder"):
        check_file(f"{remote}{ours}", "metric")
    (tmp_path / "part").touch()
    (tmp_path / "bare").mkdir()
    with pytest.raises(IsADirectoryError):
        leave(tmp_path / "part", f"{remote}{tmp_path}/bare")
    assert (tmp_path / "bare").is_dir()


def test_a_staging_folder_of_another_program_is_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    theirs = tmp_path / STAGING / "my_models"
    theirs.mkdir(parents=True)
    (theirs / "x.sql").touch()
    gone = tmp_path / STAGING / ("a" * 32)
    gone.mkdir()
    Staging(spark, str(tmp_path)).remove_left_over()
    assert (theirs / "x.sql").exists()
    assert not gone.exists()
