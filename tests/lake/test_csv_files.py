"""People's CSV files: as Excel, editors and scripts write them; or one line that says which row and why."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from imgsearch.errors import UserError
from imgsearch.lake.csv_files import read_csv, write_batches

ROWS = [{"path": "a, b;c.jpg", "label": "Pümpe"}, {"path": "d.jpg", "label": ""}]
WRITTEN = {
    "plain": 'path,label\n"a, b;c.jpg",Pümpe\nd.jpg,\n'.encode(),
    "bom": '\ufeffpath,label\n"a, b;c.jpg",Pümpe\nd.jpg,\n'.encode(),
    "semicolon": 'path;label\n"a, b;c.jpg";Pümpe\nd.jpg;\n'.encode(),
    "tab": "path\tlabel\na, b;c.jpg\tPümpe\nd.jpg\t\n".encode(),
    "crlf": '\ufeffPath;Label\r\n"a, b;c.jpg";Pümpe\r\nd.jpg;\r\n'.encode(),
    "sep": 'sep=;\r\npath;label\r\n"a, b;c.jpg";Pümpe\r\nd.jpg;\r\n'.encode(),
    "utf-16": "path\tlabel\r\na, b;c.jpg\tPümpe\r\nd.jpg\t\r\n".encode("utf-16"),
    "short row": ' path , label \n"a, b;c.jpg", Pümpe \n\nd.jpg\n'.encode(),
    "no end": 'path,label\n"a, b;c.jpg",Pümpe\nd.jpg,'.encode(),
    "empty columns": 'path;label;;\n"a, b;c.jpg";Pümpe;;\nd.jpg;;;\n'.encode(),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_however_it_was_written(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.csv").write_bytes(WRITTEN[kind])
    rows = read_csv(str(tmp_path / "x.csv"), "labels", ["path", "label"])
    assert [{name: row[name] for name in ("path", "label")} for row in rows] == ROWS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"path,label\na.jpg,x\nb, c.jpg,y\n", "line 3: has 3 values where the header has 2 columns; put values that"),
        (b"path;lable\na;b\n", "has no column 'label' (did you mean 'lable'?); it has ['path', 'lable']"),
        (b"path\n", "has no column 'label'"),
        (b"", "has no column 'path'"),
        (b"path,label\n", "has no rows"),
        ("path,label\nä,x\n".encode("latin-1"), "not a CSV in UTF-8"),
        (b"path,label\n\0,x\n" + b"a" * 200_000 + b",x\n", "not a CSV in UTF-8"),
    ],
)
def test_or_one_line_that_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_csv(str(tmp_path / "x.csv"), "labels", ["path", "label"])
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"--labels {tmp_path}/x.csv")


def test_no_cell_begins_a_formula(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "a=b", "", None, "'=x"]
    table = pa.table({"path": texts, "score": [-1.0] * len(texts)})
    for guard, written in ((True, ["'=HYPERLINK(1)", "'+1", "'-1", "'@x", "'\tx", *texts[5:]]), (False, texts)):
        out = str(tmp_path / "x.csv")
        write_batches(table.schema, table.to_batches(), out, guard=guard)
        with open(out, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["path"] for row in rows] == [text or "" for text in written]
        assert {row["score"] for row in rows} == {"-1"}
    write_batches(table.schema, table.to_batches(), str(tmp_path / "x.parquet"))
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").column("path").to_pylist() == texts
