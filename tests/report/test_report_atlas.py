"""The flat file of the map: neighbours against a naive oracle, columns that explorers open."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from imgsearch.report import export
from imgsearch.report.atlas import NEIGHBOURS, atlas_table, neighbours
from imgsearch.report.data import ReportData
from imgsearch.vectors import unit


def test_neighbours_are_the_nearest_others_by_row() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32))
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    for row, found in enumerate(neighbours(vectors).to_pylist()):
        assert found["ids"] == np.argsort(-scores[row], kind="stable")[:NEIGHBOURS].tolist()
        np.testing.assert_allclose(found["distances"], 1 - np.sort(scores[row])[::-1][:NEIGHBOURS], atol=1e-5)
    assert neighbours(vectors[:1]).to_pylist() == [{"ids": [], "distances": []}]
    assert len(neighbours(vectors[:0])) == 0


def test_the_file_stands_beside_the_page_with_its_thumbnails(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").mkdir()
    (tmp_path / "thumbnails" / "a.jpg").write_bytes(b"jpeg")
    places = {"image_id": ["a", "b"], "x": [0.0, 1.0], "y": [0.0, 0.5]}
    points = pa.table(places | {"cluster_id": pa.array([3, 3], pa.int32())})
    data = ReportData(
        "t", "w", "e", "p", images=pd.DataFrame({"image_id": ["a", "b"], "path": ["/a.jpg", "/b.jpg"]}),
        clusters=pd.DataFrame({"cluster_id": [3], "size": [2], "label": ["valve"]}),
        thumbnails={"a": "thumbnails/a.jpg"},
    )  # fmt: skip
    for _ in range(2):  # the second time it is replaced
        export._write_atlas(points, np.eye(2, dtype=np.float32), data, tmp_path)
    rows = pq.read_table(tmp_path / "atlas.parquet").to_pylist()
    assert [(r["path"], r["thumbnail"]) for r in rows] == [("/a.jpg", b"jpeg"), ("/b.jpg", None)]
    assert {r["cluster"] for r in rows} == {"valve"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["atlas.parquet", "thumbnails"]


def test_a_row_a_point_with_its_picture_and_metadata() -> None:
    points = pa.table({"image_id": ["a", "b", "c"], "x": [0.0, 1.0, 2.0], "y": [0.0, 0.5, 1.0],
                       "cluster_id": pa.array([3, None, 4], pa.int32())})  # fmt: skip
    images = pd.DataFrame(
        {"image_id": ["b", "a"], "path": ["/b.jpg", "/a.jpg"], "label": ["pump", None], "sharpness": [0.5, None],
         "site": ["A", "<b>"], "X": ["taken", "taken"], "taken_on": [pd.Timestamp("2024-05-01"), None]}
    )  # fmt: skip
    table = atlas_table(
        points, np.eye(3, dtype=np.float32), images, {3: "valve"}, {"a": b"jpeg"}.get
    )  # fmt: skip
    out = io.BytesIO()
    pq.write_table(table, out)
    rows = pq.read_table(out).to_pylist()
    assert [(r["path"], r["cluster"], r["label"], r["thumbnail"]) for r in rows] == [
        ("/a.jpg", "valve", None, b"jpeg"), ("/b.jpg", None, "pump", None), (None, "Cluster 4", None, None),
    ]  # fmt: skip
    assert [r["site"] for r in rows] == ["<b>", "A", None]
    assert [r["sharpness"] for r in rows] == [None, 0.5, None]
    assert [r["taken_on"] for r in rows] == [None, "2024-05-01", None]
    assert "X" not in table.column_names  # Parquet readers that ignore case would see two
    assert rows[0]["neighbors"]["ids"] == [1, 2]
