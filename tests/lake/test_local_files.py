"""The walk over local files and the reading of one: every name that a disk can hold, and nothing opened that waits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.odd_tree import MAX_BYTES, Draw, write_local

from imgsearch.errors import ImageError
from imgsearch.lake.local_files import (
    LISTING,
    Row,
    file_row,
    find_tops,
    micros,
    pages,
    printable,
    read_local,
    walk,
)

NAMES = [
    "plain.jpg", "with space.jpg", "a+b.jpg", "100%.jpg", "a%20b.jpg", "_MG_1234.JPG", ".hidden.jpg", "ä ö.jpg",
    "comma,quote'\".jpg", "[1].jpg", "{x}.jpg", "star*.jpg", "q?.jpg", "#1;2.jpg", "back\\slash.jpg", "new\nline.jpg",
]  # fmt: skip


def rows_of(where: Path | str, follow_links: bool = False) -> dict[str, Row]:
    tops = find_tops(str(where))
    assert tops is not None
    rows = list(walk(tops, follow_links=follow_links))
    assert len({row.path for row in rows}) == len(rows)
    return {os.path.relpath(row.path, tops.root): row for row in rows}


def test_every_odd_name_is_a_row_once(tmp_path: Path, draw: Draw) -> None:
    expected = write_local(tmp_path / "tree", draw)

    rows = rows_of(tmp_path / "tree")
    assert set(rows) == set(expected)
    of_bytes = ("empty", "not_an_image", "truncated", "too_large")
    assert {n: r.reason for n, r in rows.items()} == {
        n: None if reason in of_bytes else reason for n, reason in expected.items()
    }
    assert all(row.n_bytes == os.stat(row.path).st_size for row in rows.values() if row.reason is None)
    assert all(row.modified_at == micros(os.stat(row.path)) for row in rows.values() if row.reason is None)
    for row in rows.values():
        row.path.encode("utf-8")
        assert (row.reason is None) == (row.detail is None)


def test_links_that_lead_out_are_entered_where_that_is_asked_for(tmp_path: Path, draw: Draw) -> None:
    write_local(tmp_path / "tree", draw)
    rows = rows_of(tmp_path / "tree", follow_links=True)
    assert rows["out.png"].reason is None
    assert rows["out folder/secret.png"].reason is None
    assert rows["passwd.jpg"].reason is None  # a file like any other, now
    assert rows["zero.jpg"].reason == rows["environ.jpg"].reason == "not_a_file"


def test_loops_of_links_end_and_a_linked_folder_is_entered_once(tmp_path: Path) -> None:
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b" / "one.jpg").write_bytes(b"1")
    (tmp_path / "in" / "a" / "b" / "up").symlink_to(tmp_path / "in" / "a")
    (tmp_path / "in" / "0").symlink_to(tmp_path / "in" / "a" / "b")
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "two.jpg").write_bytes(b"2")
    (tmp_path / "out" / "deep" / "round").symlink_to(tmp_path / "out")
    for name in ("1", "2"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "out")
    rows = rows_of(tmp_path / "in", follow_links=True)
    assert sorted(name.rsplit("/", 1)[1] for name in rows) == ["one.jpg", "two.jpg"]
    assert "a/b/one.jpg" in rows


def test_a_folder_that_cannot_be_listed_is_a_row() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are shut to the other user
        walk_shut_folder(Path(folder))


def walk_shut_folder(tmp_path: Path) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"x")
    (tmp_path / "shut").chmod(0)
    code = (
        "import os, sys; from imgsearch.lake.local_files import *; os.getuid() == 0 and os.setuid(65534);"
        "[print(r.path, r.reason, r.detail) for r in walk(find_tops(sys.argv[1]))]"
    )
    tmp_path.chmod(0o755)
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert sorted(run.stdout.splitlines()) == [
        f"{tmp_path}/open/x.jpg None None",
        f"{tmp_path}/shut unlisted the folder cannot be listed: Permission denied",
    ]


def test_folder_file_glob_and_nothing(tmp_path: Path) -> None:
    for i, name in enumerate(NAMES):
        place = tmp_path if i % 2 else tmp_path / "deep er" / "site=A"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    every = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert set(rows_of(tmp_path)) == every
    assert set(rows_of(tmp_path / "with space.jpg")) == {"with space.jpg"}
    assert set(rows_of(f"{tmp_path}/**")) == every  # folders and the files in them
    assert len(rows_of(f"{tmp_path}/deep er/*/*")) == len(NAMES) / 2
    assert find_tops(f"{tmp_path}/*.tiff") == ([], str(tmp_path))
    assert find_tops(str(tmp_path / "no such")) is None


def test_pages_hold_as_many_rows_as_asked_for() -> None:
    rows = [Row(f"/{i}", i, 1_700_000_000_000_000 + i) for i in range(25)]
    tables = list(pages(iter(rows), 10))
    assert [t.num_rows for t in tables] == [10, 10, 5]
    assert all(t.schema == LISTING for t in tables)
    assert [path for t in tables for path in t.column("path").to_pylist()] == [row.path for row in rows]
    assert list(pages(iter([]), 10)) == []


@pytest.mark.parametrize("prefix", ["", "file:", "file://"])
def test_local_files_are_read_with_or_without_a_scheme(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "a b%.jpg").write_bytes(b"bytes")
    assert read_local(f"{prefix}{tmp_path}/a b%.jpg") == b"bytes"
    assert read_local(f"{prefix}{tmp_path}/a b%.jpg", 5) == b"bytes"


def test_what_is_no_file_is_never_opened(tmp_path: Path, draw: Draw) -> None:
    write_local(tmp_path / "tree", draw)
    folder = tmp_path / "tree"

    def reason(path: str | Path) -> str:
        with pytest.raises(ImageError) as caught:
            read_local(str(path), MAX_BYTES)
        return caught.value.reason

    kinds = ("pipe.jpg", "socket.jpg", "zero.jpg", "environ.jpg", "deep er")
    assert {name: reason(folder / name) for name in kinds} == dict.fromkeys(kinds, "not_a_file")
    assert reason("/dev/zero") == reason("/proc/self/environ") == reason("/dev/tty") == "not_a_file"
    assert reason(folder / "sparse.png") == reason(folder / "large.png") == "too_large"
    assert reason(folder / "gone.png") == reason(folder / "round.png") == reason("/x\0y") == "unreadable"
    assert reason("s3a://bucket/x.jpg") == reason("hdfs:///x.jpg") == "unreadable"
    writer = os.open(folder / "pipe.jpg", os.O_RDWR | os.O_NONBLOCK)  # nobody waits at the other end
    os.close(writer)


def test_a_file_that_does_not_fit_into_memory_is_a_reason(tmp_path: Path) -> None:
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(3 << 30)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
        "from imgsearch.lake.local_files import read_local\n"
        "try: read_local(sys.argv[1])\nexcept Exception as e: print(e.reason)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "sparse.png")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "out_of_memory"


def test_times_that_no_table_can_hold_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    os.utime(tmp_path / "x.jpg", (0, 1_600_000_000))
    assert file_row(str(tmp_path / "x.jpg")).modified_at == 1_600_000_000_000_000
    os.utime(tmp_path / "x.jpg", (0, -1))
    assert file_row(str(tmp_path / "x.jpg")).modified_at == -1_000_000
    assert file_row("/x\0y").reason == "bad_name"


def test_printable_leaves_good_names_alone() -> None:
    assert printable("/a b/ä%.jpg") == "/a b/ä%.jpg"
