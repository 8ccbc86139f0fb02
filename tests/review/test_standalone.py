"""The queue as a folder: what is written, what is refused, and a session in a browser from disk."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import open_page  # type: ignore[import-not-found]
from support.browser import CHROMIUM, NEEDS_CHROMIUM, page_from_disk
from support.review import Drawn, write

from imgsearch.config import ReviewConfig
from imgsearch.errors import UserError
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review import review, standalone
from imgsearch.tables import IMAGES

HOSTILE = '</script><img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>\u202e'


def payload(out: Path) -> dict[str, Any]:
    text = (out / "index.html").read_text("utf-8")
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def written(drawn: Drawn, tmp_path: Path) -> Path:
    """The folder of a drawn warehouse in which one cluster has a name and every image a hostile site."""
    rows = DeltaFolder.open(drawn.location).read(IMAGES).to_pylist()
    write(Path(drawn.location), IMAGES, [row | {"site": HOSTILE} for row in rows])
    client = open_page(drawn.location)
    for cluster_id, action, label in ((3, "name", HOSTILE[:-1]), (0, "junk", None)):
        given = {"kind": "cluster", "action": action, "cluster_id": cluster_id, "label": label}
        assert client.post("/api/decide", json=given).status_code == 200
    review.run(ReviewConfig(warehouse=drawn.location, output=str(tmp_path / "out")))
    return tmp_path / "out"


def test_every_cluster_with_pictures_beside_the_page(written: Path, drawn: Drawn) -> None:
    clusters = payload(written)["clusters"]
    assert [(c["id"], c["size"]) for c in clusters] == [(9, 9), (6, 8), (3, 7), (0, 6)]
    assert clusters[2]["label"] == HOSTILE[:-1]
    assert [c["settled"] for c in clusters] == [False, False, False, True]
    files = {file for c in clusters for file, _ in [*c["central"], *c["borderline"]]}
    assert {f"pictures/{path.name}" for path in (written / "pictures").iterdir()} == files
    assert len(files) == 30
    text = (written / "index.html").read_text("utf-8")
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<script") == 2
    assert str(drawn.location) in text
    assert "\\u202e" in clusters[0]["central"][0][1]


def test_a_folder_of_another_is_not_written_over(drawn: Drawn, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for place, what in ((tmp_path / "mine", "not empty"), ("s3://bucket/x", "this machine")):
        with pytest.raises(UserError, match=what):
            review.run(ReviewConfig(warehouse=drawn.location, output=str(place)))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    with pytest.raises(UserError, match="no such folder"):
        review.run(ReviewConfig(warehouse=str(tmp_path / "nothing"), output=str(tmp_path / "new")))
    assert not (tmp_path / "new").exists()


def test_many_clusters_have_fewer_pictures_each(drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone, "MAX_PICTURES", 12)
    for _ in range(2):  # again: the earlier one is replaced
        review.run(ReviewConfig(warehouse=drawn.location, output=str(tmp_path / "out")))
    clusters = payload(tmp_path / "out")["clusters"]
    assert [len(c["central"]) for c in clusters] == [3] * 4
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 12
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".imgsearch-review", "index.html", "pictures"]


@pytest.mark.skipif(CHROMIUM is None, reason=NEEDS_CHROMIUM)
def test_a_session_from_disk(written: Path) -> None:
    with page_from_disk(written / "index.html") as (page, errors, requests):
        assert page.inner_text("#title") == "Cluster #9"
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        assert page.eval_on_selector("#central img", "image => image.complete && image.naturalWidth") == 40
        page.keyboard.type('a "big", pump')
        page.keyboard.press("Enter")
        assert page.inner_text("#title") == "Cluster #6"
        numbers = page.eval_on_selector_all("#neighbours b", "found => found.map((e) => e.textContent)")
        page.keyboard.press(str(1 + numbers.index(HOSTILE[:-1])))  # the same as a neighbour with a name
        assert page.inner_text("#done").startswith("named 75 % of clusters = 80 % of images")
        page.keyboard.press("Control+z")
        assert page.inner_text("#title") == "Cluster #6"
        page.keyboard.press("Control+y")
        assert page.inner_text("#done").startswith("named 75 %")
        page.wait_for_timeout(1000)  # Chromium hands what a page stores to its next process a moment later
        page.reload()
        assert page.inner_text("#done").startswith("named 75 %")
        with page.expect_download() as download:
            page.click("#export")
        table = csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8")))
        assert {int(row["cluster_id"]): row["label"] for row in table} == {9: 'a "big", pump', 6: HOSTILE[:-1]}
        page.click("#open")
        assert page.eval_on_selector_all("#all button", "found => found.map((e) => e.dataset.id)") == ["0"]
        assert page.title() == "imgsearch review"
    assert not errors
    assert all(url.startswith(("file:", "blob:")) for url in requests)
