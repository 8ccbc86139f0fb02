"""The page: what it says, what it refuses to say, and what it survives."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.report.page import ReportData, render, write_report

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=http://evil.example/x onerror=alert(1)>.jpg',
    "' onmouseover='alert(1)",
    "</script><script>alert(2)</script>",
    "{{ 7 * 7 }}.jpg",
    "javascript:alert(1)",
    "a\u202egpj.exe",
    "\udcff\udcfe.jpg",
    "two\nlines\x1b[31m.jpg",
]


class Page(HTMLParser):
    """The page as a browser's parser sees it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside == "script" else self.text).append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [attrs[name] or "" for found, attrs in self.tags if found == tag and name in attrs]

    def payload(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])


def collection(names: list[str], **changes: Any) -> ReportData:
    """Two clusters over the named images, with a map, a search and a refused file of each name."""
    ids = [f"{i:064x}" for i in range(len(names))]
    paths = [f"file:/lake/{name}" for name in names]
    half = [i % 2 for i in range(len(names))]
    values: dict[str, Any] = {
        "title": "Shop",
        "warehouse": "/lake/w",
        "encoder": "lite0",
        "projection": "256",
        "images": pd.DataFrame(
            {"image_id": ids, "path": paths, "format": "JPEG", "width": 300, "height": 200, "n_bytes": 48_200}
        ),
        "quarantine": pd.DataFrame({"path": paths, "stage": "ingest", "reason": "truncated", "detail": names}),
        "clusters": pd.DataFrame(
            {
                "cluster_id": [0, 1],
                "size": [7, 9],
                "medoid_id": ids[:2],
                "cohesion": [0.5, None],
                "label": [names[0], None],
            }
        ),
        "members": pd.DataFrame(
            {"image_id": ids, "cluster_id": half, "score": 0.5, "rank": range(1, len(ids) + 1), "is_outlier": False}
        ),
        "map": pd.DataFrame({"image_id": ids, "x": range(len(ids)), "y": 1.0, "cluster_id": half}),
        "matches": pd.DataFrame(
            {
                "query_id": ids[0],
                "query_path": paths[0],
                "rank": range(1, len(ids)),
                "image_id": ids[1:],
                "path": paths[1:],
                "score": 0.9,
            }
        ),
        "thumbnails": {i: f"thumbnails/{i}.jpg" for i in ids},
        "created_at": datetime(2026, 1, 2, 3, 4),
    }
    return ReportData(**(values | changes))


def test_hostile_names_stay_text() -> None:
    page = Page(
        render(collection(HOSTILE, title=HOSTILE[0], warehouse=HOSTILE[1], encoder=HOSTILE[3], projection=HOSTILE[2]))
    )
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert len(page.scripts) == 2
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert all(source.startswith("thumbnails/") for source in page.values("img", "src"))
    assert all(link.startswith("#") for link in page.values("a", "href"))
    assert HOSTILE[0] in "".join(page.text)
    assert "{{ 7 * 7 }}.jpg" in "".join(page.text)
    shown = {path.removeprefix("file:/lake/") for path, *_ in page.payload()["pictures"]}
    assert HOSTILE[3] in shown
    assert r"a\u202egpj.exe" in shown
    assert r"\udcff\udcfe.jpg" in shown


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(st.characters(), min_size=1, max_size=30), min_size=3, max_size=5))
def test_any_name_gives_a_page_of_the_same_structure(names: list[str]) -> None:
    folders = pd.DataFrame({"folder": ["/lake"], "n": [len(names)]})  # a slash in a name would make another bar
    plain = Page(render(collection([f"n{i}" for i in range(len(names))], folders=folders)))
    wild = Page(render(collection(names, folders=folders)))
    wild.payload()
    # a name on the map is left out where it would cover another
    structures = [[tag for tag, attrs in page.tags if attrs.get("class") != "map-name"] for page in (wild, plain)]
    assert structures[0] == structures[1]


def test_nothing_is_loaded_but_thumbnails() -> None:
    html = render(collection(["a.jpg", "b.jpg", "c.jpg"]))
    page = Page(html)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert "http" not in html.replace("http-equiv", "")
    assert "@import" not in html
    assert "url(" not in html
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_policy_names_the_script_that_is_there() -> None:
    import base64
    import hashlib

    html = render(collection(["a.jpg", "b.jpg"]))
    digest = base64.b64encode(hashlib.sha256(Page(html).scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_totals_are_the_givens_and_not_the_sample() -> None:
    data = collection(["a.jpg", "b.jpg"], n_images_total=1_234_567, n_distinct_total=1_200_000, n_clusters_total=5000)
    text = " ".join(Page(render(data)).text)
    assert "1,234,567" in text
    assert "1,200,000" in text
    assert "sample of 2 images" in " ".join(text.split())
    assert "4,998 more clusters are in the table dim_cluster" in " ".join(text.split())


def test_totals_without_sampling_count_rows_and_distinct_images() -> None:
    images = pd.DataFrame({"image_id": ["x", "x", "y"], "path": ["/1.png", "/2.png", "/3.png"]})
    page = Page(render(collection(["a", "b"], images=images)))
    words = [word.strip() for word in page.text if word.strip()]
    figures = {name: words[words.index(name) + 1] for name in ("images", "distinct", "quarantined")}
    assert (figures["images"], figures["distinct"], figures["quarantined"]) == ("3", "2", "2")
    assert "sample of" not in " ".join(words)


def test_an_empty_warehouse_tells_the_next_steps() -> None:
    text = " ".join(" ".join(Page(render(ReportData("Empty", "/lake/w", "", ""))).text).split())
    for job in ("ingest", "compress", "cluster"):
        assert f"{job} --warehouse /lake/w" in text


def test_empty_frames_with_columns_are_as_good_as_none() -> None:
    full = collection(["a", "b"])
    frames = {n: v.iloc[:0] for n, v in vars(full).items() if isinstance(v, pd.DataFrame)}
    assert render(collection(["a", "b"], **frames, thumbnails={})) == render(
        ReportData("Shop", "/lake/w", "lite0", "256", created_at=full.created_at)
    )


def test_a_cluster_shows_medoid_then_nearest_then_outliers() -> None:
    ids = [f"i{n}" for n in range(30)]
    data = collection(
        ["a", "b"],
        images=pd.DataFrame({"image_id": ids, "path": [f"/p/{i}.jpg" for i in ids]}),
        clusters=pd.DataFrame({"cluster_id": [4], "size": [30], "medoid_id": ["i3"], "cohesion": [0.7]}),
        members=pd.DataFrame(
            {"image_id": ids, "cluster_id": 4, "score": [1 - n / 40 for n in range(30)], "rank": range(1, 31),
             "is_outlier": [n >= 24 for n in range(30)]}
        ).sample(frac=1, random_state=0),
        map=pd.DataFrame(), matches=pd.DataFrame(),
        thumbnails={i: f"thumbnails/{i}.jpg" for i in ids},
    )  # fmt: skip
    shown = [
        source.removeprefix("thumbnails/").removesuffix(".jpg") for source in Page(render(data)).values("img", "src")
    ]
    near = [i for i in ids[:24] if i != "i3"][:11]
    assert shown == ["i3", *near, "i29", "i28", "i27", "i26"]


def test_the_largest_clusters_are_drawn_and_every_other_can_be_reached() -> None:
    n = 200 + 1_000 + 5_000 + 7
    medoids = [f"m{i}" for i in range(n)]
    clusters = pd.DataFrame({"cluster_id": range(n), "size": range(1, n + 1), "medoid_id": medoids, "cohesion": 0.5})
    page = Page(render(collection(["a", "b"], clusters=clusters, members=pd.DataFrame(), map=pd.DataFrame())))
    ids = [a["id"] for t, a in page.tags if str(a.get("id", "")).startswith("cluster-") and t in ("article", "div")]
    assert [i for i in ids if i != "cluster-list"] == [f"cluster-{i}" for i in range(n - 1, 6, -1)]
    assert [a["id"] for t, a in page.tags if t == "article"] == [f"cluster-{i}" for i in range(n - 1, n - 201, -1)]
    assert len(page.payload()["pictures"]) == 1_200 + 2  # and the query and its match
    assert "7 more clusters are in the table dim_cluster of the export." in " ".join(page.text)


def test_map_points_without_a_place_or_a_cluster() -> None:
    places = pd.DataFrame(
        {"image_id": list("abcd"), "x": [0.0, 1.0, float("nan"), 3.0], "y": [0.0, float("inf"), 1.0, 2.0],
         "cluster_id": [0.0, 1.0, 1.0, None]}
    )  # fmt: skip
    points = Page(render(collection(["a", "b"], map=places))).payload()["points"]
    assert [cluster for *_, cluster in points] == [0, None]


def test_metrics_are_pivoted_by_cut() -> None:
    metrics = pd.DataFrame(
        [("precision_at_k", 1, 0.954), ("precision_at_k", 10, 0.698), ("purity", None, 0.83)],
        columns=["metric", "k", "value"],
    )
    words = [word.strip() for word in Page(render(collection(["a", "b"], metrics=metrics))).text if word.strip()]
    at = words.index("precision_at_k")
    assert words[at - 5 : at] == ["metric", "all", "k = 1", "k = 10", "meaning"]
    assert words[at + 1 : at + 3] == ["0.954", "0.698"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/x.jpg", "thumbnails/../../x.jpg", "\\\\host\\x.jpg", ""])
def test_thumbnails_lie_beside_the_page(path: str) -> None:
    data = collection(["a", "b"])
    with pytest.raises(ValueError, match="beside the page"):
        render(collection(["a", "b"], thumbnails=dict.fromkeys(data.thumbnails, path)))


def test_thumbnail_names_are_quoted() -> None:
    data = collection(["a", "b"])
    odd = {i: f"thumbnails/ä #?%41 {n}.jpg" for n, i in enumerate(data.thumbnails)}
    sources = Page(render(collection(["a", "b"], thumbnails=odd))).values("img", "src")
    assert {unquote(source) for source in sources} == set(odd.values())
    assert not any(ch in source for source in sources for ch in "#? ")


def test_writing_replaces_the_page_and_leaves_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    first = write_report(collection(HOSTILE), out)
    assert first == out / "index.html"
    before = first.read_text("utf-8")
    write_report(collection(["a", "b"]), out)
    assert [p.name for p in out.iterdir()] == ["index.html"]
    assert first.read_text("utf-8") != before


def test_a_failing_report_leaves_the_old_page(tmp_path: Path) -> None:
    page = write_report(collection(["a", "b"]), tmp_path)
    before = page.read_bytes()
    with pytest.raises(ValueError, match="beside the page"):
        write_report(collection(["a", "b"], thumbnails={f"{0:064x}": "/abs.jpg"}), tmp_path)
    assert page.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


def test_a_part_that_matched_is_framed_as_its_thumbnail_is_fitted() -> None:
    data = collection(["a.jpg", "b.jpg", "c.jpg"])
    assert "<rect" not in render(data).partition('id="searches"')[2].partition("</section>")[0]
    part = {"region_x": 0.5, "region_y": 0.0, "region_w": 0.5, "region_h": 0.5}
    matches = data.matches.assign(**{name: [value, None] for name, value in part.items()})
    drawn = render(replace(data, matches=matches)).partition('id="searches"')[2].partition("</section>")[0]
    assert drawn.count("<rect") == 1
    assert "A frame is drawn" in drawn
    view = re.search(r'<svg class="part" viewBox="0 0 (\d+) \d+" [^>]*><rect x="([\d.]+)"', drawn)
    assert view is not None
    assert float(view[2]) == int(view[1]) / 2
