"""A drawn gallery on disk: counts, truth, repeatability, and what it refuses to overwrite."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from plantdemo.drawing.damage import DAMAGES, NEAR_COPIES
from plantdemo.drawing.gallery import COPY, DrawnGallery, draw_gallery, plan_gallery
from plantdemo.drawing.kinds import KINDS
from plantdemo.drawing.sheet import contact_sheet


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnGallery:
    return draw_gallery(tmp_path_factory.mktemp("drawn") / "gallery", 40, 6, seed=3, processes=1)


def test_counts_and_truth_agree_with_the_files(drawn: DrawnGallery) -> None:
    files = sorted(p.relative_to(drawn.images) for p in drawn.images.rglob("*.jpg"))
    with drawn.truth.open() as file:
        rows = list(csv.DictReader(file))
    of_images = {r["path"]: r for r in rows if not r["path"].startswith("queries/")}
    of_queries = [r for r in rows if r["path"].startswith("queries/")]
    assert len(files) == drawn.n_images == 40
    assert len(of_queries) == drawn.n_queries == len(list(drawn.queries.glob("*.jpg"))) == 6
    assert len(of_images) == 40 - drawn.n_damaged
    assert {r["kind"] for r in of_images.values()} == set(KINDS)
    unreadable = set()
    for path in files:
        assert re.fullmatch(r"site=[A-D]/visit_date=\d{4}-\d\d/IMG_\d+\.jpg", str(path))
        try:
            with Image.open(drawn.images / path) as image:
                image.load()
        except OSError:
            unreadable.add(str(path))
    assert len(unreadable) == drawn.n_damaged
    assert not unreadable & set(of_images)
    for name, row in of_images.items():
        assert name.startswith(f"site={row['site']}/")
    assert all((drawn.queries.parent / r["path"]).is_file() for r in of_queries)


def test_queries_are_not_in_the_gallery_and_copies_are(drawn: DrawnGallery) -> None:
    images, queries = Counter(digests(drawn.images).values()), digests(drawn.queries)
    assert not set(queries.values()) & set(images)
    assert max(images.values()) >= 2


def test_two_processes_draw_the_same_bytes(drawn: DrawnGallery, tmp_path: Path) -> None:
    draw_gallery(tmp_path / "again", 40, 6, seed=3, processes=2)
    assert digests(tmp_path / "again") == digests(drawn.images.parent)


def test_drawing_again_replaces_only_what_was_drawn(drawn: DrawnGallery, tmp_path: Path) -> None:
    out = tmp_path / "g"
    (out / "images").mkdir(parents=True)
    (out / "images" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match="not drawn by imgsearch"):
        draw_gallery(out, 40, 0, processes=1)
    assert (out / "images" / "mine.jpg").read_bytes() == b"mine"


def test_an_earlier_drawing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "plantdemo.drawing.gallery.draw_item",
        lambda out, seed, files: [(out / f.path).write_bytes(b"x") for f in files],
    )
    first = draw_gallery(tmp_path, 60, 3, seed=1, processes=1)
    (tmp_path / "notes.txt").write_text("kept")
    before = set(digests(first.images))
    second = draw_gallery(tmp_path, 40, 3, seed=2, processes=1)
    assert len(digests(second.images)) == 40
    assert set(digests(second.images)) != before
    assert (tmp_path / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize("wrong", [{"n_images": 39}, {"n_queries": -1}, {"processes": 0}])
def test_wrong_numbers_are_refused_before_anything_is_written(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        draw_gallery(tmp_path / "g", **{"n_images": 40, "n_queries": 1, "processes": 1, **wrong})
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("n_images", [40, 200, 2000, 5000])
def test_the_plan_keeps_its_shares(n_images: int) -> None:
    plan = plan_gallery(n_images, 50, 7)
    images, queries = (
        [p for p in plan if p.path.startswith("images/")],
        [p for p in plan if p.path.startswith("queries/")],
    )
    assert (len(images), len(queries)) == (n_images, 50)
    assert len({p.path for p in plan}) == n_images + 50
    ways = Counter(p.way for p in images)
    assert 0.02 <= sum(ways[w] for w in DAMAGES) / n_images <= 0.045
    assert 0.02 <= ways[COPY] / n_images <= 0.04
    assert 0.02 <= sum(ways[w] for w in NEAR_COPIES) / n_images <= 0.04
    assert {p.kind for p in images} == set(KINDS)
    shown = {(p.kind, p.number, p.visit) for p in images}
    assert not shown & {(p.kind, p.number, p.visit) for p in queries}
    assert {(p.kind, p.number) for p in queries} <= {s[:2] for s in shown}


def test_at_full_size_every_kind_has_items_enough_and_every_item_visits_enough() -> None:
    plan = plan_gallery(2000, 50, 7)
    visits = Counter((p.kind, p.number) for p in plan if p.path.startswith("images/") and not p.way)
    assert min(Counter(kind for kind, _ in visits).values()) >= 5
    assert min(visits.values()) >= 20


def test_a_contact_sheet_has_a_cell_for_each(drawn: DrawnGallery, tmp_path: Path) -> None:
    contact_sheet(sorted(drawn.queries.glob("*.jpg")), tmp_path / "sheet.png", columns=4, cell=50)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 52 + 2, 2 * 52 + 2)
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([], tmp_path / "none.png", columns=4)
