"""Edited copies end to end: drawn pictures and their copies, through `dedup --augment` and `search --verify`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps
from support.drawings import cropped, drawing

from imgsearch import Warehouse
from imgsearch.config import DedupConfig, SearchConfig
from imgsearch.duplicates.candidates import pair_up
from imgsearch.errors import UserError
from imgsearch.lake.shared import Inline

EDITS = {
    "mirror": ImageOps.mirror,
    "turned": lambda im: im.transpose(Image.Transpose.ROTATE_90),
    "corner": lambda im: cropped(im, 0.0, 0.0, 0.7),
    "mirrored-corner": lambda im: ImageOps.mirror(cropped(im, 0.3, 0.3, 0.7)),
}


def test_pairs_are_named_by_the_lower_key():
    keys, views = np.array([5, 9, 2]), pa.array(["as it is", "mirror", "centre"])
    columns = [pa.array([0, 1, 2], pa.int32()), pa.array([7, 3, 8]), pa.array([0.9, 0.8, 0.7], pa.float32())]
    batch = pa.RecordBatch.from_arrays(columns, names=["query_row", "image_key", "score"])
    (pairs,) = pair_up(Inline((keys, views)))(iter([batch]))
    rows = [tuple(row.values()) for row in pairs.to_pylist()]
    assert [row[:2] + row[3:] for row in rows] == [(5, 7, "as it is"), (3, 9, "mirror"), (2, 8, "centre")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"augment": "flip,blur"}, "--augment flip,blur: give one or more of flip,rotate,crop"),
        ({"augment": "flip", "against": "/other"}, "--augment flip and --against /other: give one of them"),
    ],
)
def test_settings_that_are_refused(settings, said):
    with pytest.raises(UserError) as refused:
        DedupConfig(warehouse="w", **settings)
    assert str(refused.value) == said


def test_verify_ranks_images_not_groups():
    with pytest.raises(UserError, match="--verify and --group-by site: give one"):
        SearchConfig(warehouse="w", queries="q", verify=True, group_by="site")


@pytest.fixture(scope="module")
def made(spark, tiny, tmp_path_factory):
    """Six pictures, four edits of three of them, two grey ones, and one whose file is changed after `embed`."""
    pytest.importorskip("cv2", reason="the extra `verify` is not installed")
    folder = tmp_path_factory.mktemp("edited") / "images"
    folder.mkdir()
    for seed in range(6):
        drawing(seed).save(folder / f"{seed}.png")
        for name, edit in EDITS.items() if seed < 3 else ():
            edit(drawing(seed)).save(folder / f"{seed}-{name}.png")
    for level in (90, 92):
        Image.new("RGB", (80, 60), (level, level, level)).save(folder / f"grey-{level}.png")
    drawing(5).save(folder / "gone.bmp")
    warehouse = Warehouse(str(folder.parent / "w"), spark)
    warehouse.ingest(input=str(folder))
    warehouse.embed(encoder=tiny)
    warehouse.compress(n_components=16)
    (folder / "gone.bmp").write_bytes(b"something else")
    return warehouse, folder


def names(rows):
    return {Path(row["path"]).stem: row for row in rows}


@pytest.mark.spark
def test_edited_copies_are_grouped_with_their_original(made):
    warehouse, _ = made
    rows = names(warehouse.dedup(augment="flip,rotate,crop", threshold=0.999).collect())
    for seed in range(3):
        family = {name: row for name, row in rows.items() if name.startswith(str(seed))}
        assert set(family) == {str(seed), *(f"{seed}-{name}" for name in EDITS)}
        assert len({row["representative_id"] for row in family.values()}) == 1
        edited = [row for row in family.values() if row["kind"] == "edited"]
        assert [row["kind"] for row in family.values()].count("representative") == 1
        assert len(edited) == len(EDITS)
        assert all(row["agreement"] > 0.7 and row["view"] for row in edited)
        assert any(row["inliers"] > 8 for row in edited)  # a corner lies in the others by a similarity
    assert not {"3", "4"} & set(rows)
    # a file that is gone cannot be checked: there the cosine decides
    assert sorted(rows[name]["kind"] for name in ("5", "gone")) == ["near", "representative"]
    assert rows["5"]["inliers"] is None


@pytest.mark.spark
def test_without_augment_the_new_columns_are_empty(made):
    warehouse, _ = made
    warehouse.cluster(n_clusters="2")
    rows = warehouse.dedup(threshold=0.9).collect()
    assert rows
    assert all(row["view"] is None and row["inliers"] is None and row["agreement"] is None for row in rows)
    assert not any(row["kind"] == "edited" for row in rows)


@pytest.mark.spark
def test_verified_matches_come_first_and_keep_their_cosine(made, tmp_path):
    warehouse, _ = made
    queries = tmp_path / "queries"
    queries.mkdir()
    cropped(drawing(1), 0.1, 0.1, 0.8).save(queries / "part.png")
    plain = warehouse.search(queries=str(queries), top_k=12, search_id="plain").collect()
    checked = warehouse.search(queries=str(queries), top_k=12, search_id="checked", verify=True).collect()
    assert all(row["inliers"] is None for row in plain)
    assert {row["image_id"]: row["score"] for row in checked} == {row["image_id"]: row["score"] for row in plain}
    assert [row["rank"] for row in checked] == list(range(1, 13))
    ahead = [row for row in checked if row["inliers"] is not None and row["inliers"] >= 15]
    assert ahead == checked[: len(ahead)]
    assert "1" in names(ahead)
    assert all(name.startswith("1") for name in names(ahead))
    before = {row["image_id"]: row["rank"] for row in plain}
    for part in (ahead, checked[len(ahead) :]):
        places = [before[row["image_id"]] for row in part]
        assert places == sorted(places)
    assert [row["image_id"] for row in checked[10:]] == [row["image_id"] for row in plain[10:]]
