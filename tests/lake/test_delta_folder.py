"""Tables by delta-rs: the spec's columns and comments, rows of older tables, two processes that append at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from imgsearch.errors import UserError
from imgsearch.lake.delta_folder import DeltaFolder, arrow_schema
from imgsearch.tables import ALL_TABLES, CLUSTERS, LABELS, TableSpec

ROOT = Path(__file__).resolve().parents[2]
ROW = {"made_at": datetime(2026, 1, 1, tzinfo=UTC), "made_by": "ann", "kind": "cluster", "action": "junk"}


@pytest.mark.parametrize("spec", ALL_TABLES, ids=lambda s: s.name)
def test_every_table_has_an_arrow_schema(spec: TableSpec) -> None:
    assert tuple(arrow_schema(spec).names) == spec.columns


def test_a_new_table_is_readable_by_all_and_says_what_its_columns_are(tmp_path: Path) -> None:
    folder = DeltaFolder.open(str(tmp_path))
    assert (folder.version(LABELS), len(folder.read_or_empty(LABELS))) == (-1, 0)
    folder.append(LABELS, [ROW | {"label_id": "a", "image_ids": ["x"]}])
    assert folder.version(LABELS) == 0
    table = DeltaTable(f"{tmp_path}/labels")
    assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
    fields = {field.name: field for field in table.schema().fields}
    assert fields["undoes"].metadata["comment"].startswith("undo: the label_id")
    assert not fields["label_id"].nullable
    assert folder.read(LABELS)["image_ids"].to_pylist() == [["x"]]


def test_new_files_are_read_once_and_a_compaction_changes_nothing(tmp_path: Path) -> None:
    folder, seen = DeltaFolder.open(str(tmp_path)), set[str]()
    for name in "abc":
        folder.append(LABELS, [ROW | {"label_id": name}])
    assert sorted(folder.read_new(LABELS, seen)["label_id"].to_pylist()) == ["a", "b", "c"]
    folder.append(LABELS, [ROW | {"label_id": "d"}])
    assert folder.read_new(LABELS, seen)["label_id"].to_pylist() == ["d"]
    folder.compact(LABELS, 2)
    assert len(DeltaTable(f"{tmp_path}/labels").file_uris()) == 1
    assert sorted(folder.read_new(LABELS, seen)["label_id"].to_pylist()) == ["a", "b", "c", "d"]


def test_an_older_table_lacks_columns_and_has_former_names(tmp_path: Path) -> None:
    write_deltalake(f"{tmp_path}/clusters", pa.table({"cluster_id": [1], "fence": pa.array([0.5], pa.float32())}))
    rows = DeltaFolder.open(str(tmp_path)).read(CLUSTERS, ["cluster_id", "outlier_threshold", "codebook_id"])
    assert rows.select(["outlier_threshold", "codebook_id"]).to_pylist() == [
        {"outlier_threshold": 0.5, "codebook_id": None}
    ]


def test_a_missing_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no table 'clusters'"):
        DeltaFolder.open(str(tmp_path)).read(CLUSTERS)


def test_two_processes_that_start_together_lose_nothing(tmp_path: Path) -> None:
    """Both make the table, and both append to it."""
    code = textwrap.dedent(f"""
        import sys, time
        from datetime import UTC, datetime
        from imgsearch.lake.delta_folder import DeltaFolder
        from imgsearch.tables import LABELS
        folder = DeltaFolder.open({str(tmp_path)!r})
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(20):
            folder.append(LABELS, [dict(label_id=sys.argv[1] + str(n), made_at=datetime.now(UTC), made_by=sys.argv[1],
                                        kind="cluster", action="junk")])
    """)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         cwd=ROOT)
        for who in ("ann", "bob")
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    rows = DeltaFolder.open(str(tmp_path)).read(LABELS)["label_id"].to_pylist()
    assert sorted(rows) == sorted(f"{who}{n}" for who in ("ann", "bob") for n in range(20))
