"""Pictures of the page: from the table of thumbnails, from files, from an object store; what stands in for what."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import open_page  # type: ignore[import-not-found]
from deltalake import convert_to_deltalake
from PIL import Image
from support.review import Drawn, write

from imgsearch.errors import ImageError
from imgsearch.lake.delta_folder import DeltaFolder, arrow_schema
from imgsearch.review import remote
from imgsearch.review.remote import RemoteFiles
from imgsearch.review.stored import StoredBytes
from imgsearch.tables import IMAGES, THUMBNAILS


def size_of(answer: Any) -> tuple[int, int]:
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content)).size


def grey(side: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (90, 90, 90)).save(out, "JPEG")
    return out.getvalue()


def test_a_thumbnail_of_the_table_is_served_and_stands_in_for_a_file_that_is_gone(drawn: Drawn) -> None:
    stored = [{"image_id": image_id, "thumbnail": grey(10 + i)} for i, image_id in enumerate(drawn.ids[:5])]
    write(Path(drawn.location), THUMBNAILS, stored)
    client = open_page(drawn.location)
    assert size_of(client.get(f"/picture/thumb/{drawn.ids[3]}")) == (13, 13)
    assert size_of(client.get(f"/picture/large/{drawn.ids[3]}")) == (40, 30)  # the file itself
    assert size_of(client.get(f"/picture/thumb/{drawn.ids[7]}")) == (40, 30)  # it has none in the table
    for place in (4, 8):
        drawn.paths[place].unlink()
    assert size_of(client.get(f"/picture/large/{drawn.ids[4]}")) == (14, 14)
    assert client.get(f"/picture/thumb/{drawn.ids[8]}").status_code == 404


def test_rows_are_found_in_any_file_and_row_group(tmp_path: Path) -> None:
    ids = [f"{i:03d}" for i in range(50)]
    order = np.random.default_rng(1).permutation(50)
    folder = tmp_path / THUMBNAILS.name
    folder.mkdir()
    for part, places in enumerate(np.array_split(order, 3)):
        rows = {"image_id": [ids[i] for i in places], "thumbnail": [ids[i].encode() * 2 for i in places]}
        pq.write_table(pa.table(rows, arrow_schema(THUMBNAILS)), folder / f"{part}.parquet", row_group_size=4)
    convert_to_deltalake(str(folder))
    asked = [*ids[::2], "nobody"]
    stored = StoredBytes(DeltaFolder.open(str(tmp_path)), THUMBNAILS, "thumbnail", pa.array(asked))
    assert [stored.get(i) for i in range(25)] == [i.encode() * 2 for i in ids[::2]]
    assert stored.get(25) is None
    for file in folder.glob("*.parquet"):
        file.unlink()  # as VACUUM does after the rows were moved
    assert stored.get(0) is None


def test_pictures_of_an_object_store(drawn: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    """One store that fsspec knows, one that nobody knows: said once, its thumbnails stand in."""
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    with store.open("bucket/a b/0.png", "wb") as file:
        file.write(drawn.paths[0].read_bytes())
    paths = {0: "memory://bucket/a b/0.png", 1: "memory://bucket/gone.png", 2: "nowhere://x/2.png", 3: "nowhere://x/3"}
    rows = DeltaFolder.open(drawn.location).read(IMAGES).to_pylist()
    place = {image_id: i for i, image_id in enumerate(drawn.ids)}
    write(Path(drawn.location), IMAGES, [r | {"path": paths.get(place[r["image_id"]], r["path"])} for r in rows])
    write(Path(drawn.location), THUMBNAILS, [{"image_id": drawn.ids[3], "thumbnail": grey(9)}])
    client = open_page(drawn.location)
    try:
        assert size_of(client.get(f"/picture/large/{drawn.ids[0]}")) == (40, 30)
        assert client.get(f"/picture/large/{drawn.ids[1]}").status_code == 404
        assert client.get(f"/picture/large/{drawn.ids[2]}").status_code == 404
        assert size_of(client.get(f"/picture/large/{drawn.ids[3]}")) == (9, 9)
    finally:
        store.rm("bucket", recursive=True)
    assert capsys.readouterr().err.count("nowhere://x cannot be read here") == 1


def test_a_store_out_of_reach_is_not_asked_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(store: str) -> Callable[[str], Any]:
        asked.append(store)
        raise OSError("no route")

    monkeypatch.setattr(remote, "opener", refuse)
    files = RemoteFiles()
    for _ in range(3):
        with pytest.raises(ImageError, match="no route"):
            files.read("s3a://bucket/x.jpg")
    assert asked == ["s3://bucket"]


def test_a_file_of_a_store_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "opener", lambda store: lambda path: io.BytesIO(b"x" * 100))
    assert RemoteFiles().read("gs://b/x", 100) == b"x" * 100
    with pytest.raises(ImageError, match="100 bytes"):
        RemoteFiles().read("gs://b/x", 99)
