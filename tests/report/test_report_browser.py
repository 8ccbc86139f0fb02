"""The report in a real browser, from disk: Debian's Chromium, headless (`apt-get install chromium`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.browser import CHROMIUM, NEEDS_CHROMIUM, page_from_disk

from imgsearch.report.data import MAX_CLUSTERS, ReportData
from imgsearch.report.page import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NEEDS_CHROMIUM)
HOSTILE = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'


def collection(out: Path) -> ReportData:
    """Two clusters that are drawn with members and three small ones; of the sites A, B and a hostile one."""
    n, n_clusters = 40, MAX_CLUSTERS + 3
    ids = [f"{k:064x}" for k in range(n)]
    cluster = [k // 20 for k in range(n)]
    (out / "thumbnails").mkdir(parents=True)
    for k, image_id in enumerate(ids):
        Image.new("RGB", (40, 30), (6 * k, 90, 90)).save(out / "thumbnails" / f"{image_id}.jpg")
    rng = np.random.default_rng(0)
    return ReportData(
        "Shop", "/w", "e", "p",
        images=pd.DataFrame({"image_id": ids, "path": [f"/p/{k}.jpg" for k in range(n)],
                             "label": ["pump", HOSTILE] * 20, "site": [*["A"] * 10, *["B"] * 29, HOSTILE],
                             "sharpness": rng.random(n)}),
        clusters=pd.DataFrame({"cluster_id": range(n_clusters), "size": range(n_clusters, 0, -1),
                               "medoid_id": [ids[k % n] for k in range(n_clusters)], "cohesion": 0.5}),
        members=pd.DataFrame({"image_id": ids, "cluster_id": cluster, "score": 0.5,
                              "rank": [k % 20 + 1 for k in range(n)], "is_outlier": False}),
        values=pd.DataFrame({"cluster_id": [5], "column": ["site"], "value": ["Zürich"], "n": [3]}),
        map=pd.DataFrame({"image_id": ids, "x": rng.random(n), "y": rng.random(n), "cluster_id": cluster}),
        matches=pd.DataFrame({"query_id": "q", "query_path": "/q.jpg", "rank": [1], "image_id": ids[:1],
                              "path": "/p/0.jpg", "score": [0.9]}),
        thumbnails={i: f"thumbnails/{i}.jpg" for i in ids},
    )  # fmt: skip


def visible(page: Any, selector: str) -> int:
    return int(page.eval_on_selector_all(selector, "found => found.filter((e) => e.offsetParent).length"))


def test_a_page_from_disk_filters_colours_and_zooms(tmp_path: Path) -> None:
    where = write_report(collection(tmp_path), tmp_path)
    with page_from_disk(where) as (page, errors, requests):
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        assert visible(page, "article.cluster") == MAX_CLUSTERS
        assert visible(page, ".smaller") == 3

        page.fill("#filter", "site=a")  # the words of pictures: cluster 0, and clusters whose medoid is of site A
        off = page.eval_on_selector_all("#cluster-0 .pic.off", "found => found.length")
        assert off == page.eval_on_selector_all("#cluster-0 .pic", "found => found.length") - 10
        shown = page.inner_text("#shown")
        assert shown == f"{visible(page, 'article.cluster') + visible(page, '.smaller')} of {MAX_CLUSTERS + 3}"
        page.fill("#filter", "site=zürich")  # the words of a cluster, of which no picture is shown
        assert page.inner_text("#shown") == f"1 of {MAX_CLUSTERS + 3}"
        assert page.is_visible("#cluster-5")
        page.fill("#filter", "")

        assert page.inner_text(".hit .under") == "A · pump"
        page.select_option("#colour", label="site")
        assert page.inner_text("#colours").startswith("B (29)")
        assert not page.is_visible("#legend")
        before = page.get_attribute("#plot > svg", "viewBox")
        page.click("#closer")
        assert page.get_attribute("#plot > svg", "viewBox") != before
        page.select_option("#colour", label="cluster")
        assert page.is_visible("#legend")
        page.click("#whole")
        assert page.get_attribute("#plot > svg", "viewBox").split()[:2] == ["0", "0"]
        page.click("#cluster-0 .pic >> nth=0")
        assert page.inner_text(".about").startswith("label=pump · site=A")
        assert page.title() == "Shop"
    assert not errors
    assert all(url.startswith("file:") for url in requests)
