"""The report of a collection: how large its page is, and how long Chromium takes to open it from disk.

    PYTHONPATH=. python benchmarks/report_size.py       # 2,485 and 100,000 images
    PYTHONPATH=. python benchmarks/report_size.py --sizes 2485 --out /tmp/page

The rows are as many as `export` gives the page of a collection of that size (``report/data.py``'s caps): every cluster,
200 with members, 1,000 medoids, 2,000 points of the map, 40 queries, strips, 24 columns of metadata. Thumbnails are
those of photographs (``grocery``), decoded here and taken again under other names. ``first_paint`` and ``load`` are
the browser's own marks, the median of five loads with a fresh profile; ``filter`` is a keystroke in the filter.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch.report.data import MAX_CLUSTERS, MAX_MEDOIDS, MAX_QUERIES, PER_CLUSTER, STRIP, ReportData  # noqa: E402
from imgsearch.report.page import write_report  # noqa: E402
from imgsearch.report.thumbnails import thumbnail  # noqa: E402

MAP_POINTS, COLUMNS, LOADS = 2_000, 24, 5


def photographs(n: int) -> list[bytes]:
    """Thumbnails of up to ``n`` photographs of the set ``grocery``."""
    files = sorted((DATA / "grocery" / "images").rglob("*.jpg"))
    if not files:
        raise SystemExit(f"no photographs in {DATA}; IMGSEARCH_REAL_DATA names another folder")
    small = (thumbnail(path.read_bytes()) for path in files[:: max(1, len(files) // n)][:n])
    return [jpeg for jpeg in small if jpeg is not None]


def report(n: int, rng: np.random.Generator) -> ReportData:
    """A page's frames for a collection of ``n`` images in about ``2 sqrt(n)`` clusters, as `export` would give them."""
    n_clusters = round(2 * n**0.5) if n < 10_000 else 3_000
    sizes = rng.multinomial(n, rng.dirichlet(np.full(n_clusters, 2.0)))
    ids = np.array([f"{i:064x}" for i in range(n)])
    cluster = np.repeat(np.arange(n_clusters), sizes)
    order = np.argsort(-sizes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    medoids = [ids[starts[c]] if sizes[c] else None for c in range(n_clusters)]
    shown = [ids[starts[c] : starts[c] + min(sizes[c], PER_CLUSTER + 4)] for c in order[:MAX_CLUSTERS]]
    members = pd.DataFrame(
        [
            {"image_id": i, "cluster_id": int(c), "score": 0.9 - k / 50, "rank": k + 1, "is_outlier": k >= PER_CLUSTER}
            for c, group in zip(order[:MAX_CLUSTERS], shown, strict=True)
            for k, i in enumerate(group)
        ]
    )
    points = rng.choice(n, min(n, MAP_POINTS), replace=False)
    queries = rng.choice(n, MAX_QUERIES, replace=False)
    hits = rng.choice(n, (MAX_QUERIES, 10))
    strips = rng.choice(n, 3 * STRIP, replace=False)
    used = {*members["image_id"], *ids[points], *ids[hits.ravel()], *ids[strips], *ids[queries]}
    used |= {medoids[c] for c in order[: MAX_CLUSTERS + MAX_MEDOIDS] if medoids[c]}
    place = {i: k for k, i in enumerate(ids)}
    rows = pd.DataFrame(
        [
            {"image_id": i, "path": f"s3a://lake/pumps/2024-{1 + place[i] % 12:02d}/{place[i]:07d}.jpg",
             "format": "JPEG", "width": 4032, "height": 3024, "n_bytes": 3_000_000, "label": f"part {place[i] % 40}",
             "sharpness": float(rng.random()), "brightness": float(rng.random()), "site": "ABCDE"[place[i] % 5],
             "visit_date": f"2024-{1 + place[i] % 12:02d}-01",
             **{f"column_{c}": f"value {place[i] % (c + 2)}" for c in range(COLUMNS - 2)}}
            for i in sorted(used)
        ]
    )  # fmt: skip
    return ReportData(
        title="What is in here", warehouse="s3a://lake/w", encoder="efficientnet-lite0", projection="p", images=rows,
        clusters=pd.DataFrame({
            "cluster_id": range(n_clusters), "size": sizes, "medoid_id": medoids, "cohesion": 0.7,
            "label": [f"part {c % 40}" for c in range(n_clusters)], "label_share": 0.8}),
        members=members,
        values=pd.DataFrame([
            {"cluster_id": int(c), "column": "site", "value": v, "n": int(sizes[c]) // 6}
            for c in order[:MAX_CLUSTERS] for v in "ABCDE"]),
        map=pd.DataFrame({
            "image_id": ids[points], "x": rng.normal(size=len(points)), "y": rng.normal(size=len(points)),
            "cluster_id": cluster[points]}),
        matches=pd.DataFrame([
            {"query_id": ids[q], "query_path": f"/today/{q}.jpg", "rank": k + 1, "image_id": ids[h], "path": str(h),
             "score": 0.9} for q, row in zip(queries, hits, strict=True) for k, h in enumerate(row)]),
        strips=pd.DataFrame({
            "kind": np.repeat(["odd", "blurred", "dark"], STRIP), "image_id": ids[strips],
            "value": rng.random(3 * STRIP)}),
        confusion=pd.DataFrame([
            {"label": f"part {a}", "cluster_label": f"part {b}", "n": 1 + 50 * (a == b)}
            for a in range(40) for b in range(40)]),
        folders=pd.DataFrame({"folder": [f"site={f}" for f in range(50)], "n": range(100, 50, -1)}),
        n_folders_total=500, n_images_total=n, n_distinct_total=n, n_queries_total=1_000, created_at=datetime.now(UTC),
    )  # fmt: skip


def write(data: ReportData, pictures: list[bytes], out: Path) -> Path:
    """The page and its thumbnails."""
    (out / "thumbnails").mkdir(parents=True)
    names = {}
    for k, image_id in enumerate(data.images["image_id"]):
        names[image_id] = f"thumbnails/{k}.jpg"
        (out / names[image_id]).write_bytes(pictures[k % len(pictures)])
    return write_report(ReportData(**{**vars(data), "thumbnails": names}), out)


def opened(page: Path) -> dict[str, float]:
    """Milliseconds to the first paint and to the end of loading, and of a keystroke in the filter; requests outside."""
    import shutil

    from playwright.sync_api import sync_playwright

    marks = """() => { const n = performance.getEntriesByType('navigation')[0];
      return [performance.getEntriesByName('first-contentful-paint')[0]?.startTime || 0, n.loadEventEnd]; }"""
    key = """() => { const f = document.getElementById('filter'), t = performance.now(); f.value = 'site=b';
      f.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - t; }"""
    runs, outside = [], set()
    with sync_playwright() as playwright:
        for _ in range(LOADS):
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1400, "height": 900})
            tab.on("request", lambda request: None if request.url.startswith("file:") else outside.add(request.url))
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_timeout(300)
            runs.append([*tab.evaluate(marks), tab.evaluate(key)])
            browser.close()
    paint, load, filtered = (statistics.median(column) for column in zip(*runs, strict=True))
    return {"first_paint_ms": paint, "load_ms": load, "filter_ms": filtered, "requests_outside": len(outside)}


def measure(n: int, out: Path) -> dict[str, Any]:
    """One collection: figures and claims."""
    start = time.perf_counter()
    page = write(report(n, np.random.default_rng(n)), photographs(400), out)
    made = time.perf_counter() - start
    html = page.stat().st_size / 1e6
    folder = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    figures = {"images": n, "made_s": made, "html_MB": html, "folder_MB": folder,
               "thumbnails": sum(1 for _ in (out / "thumbnails").iterdir()), **opened(page)}  # fmt: skip
    print({key: round(value, 2) for key, value in figures.items()}, flush=True)
    claims = [
        claim(f"report page MB at {n}", html, 10, at_least=False),
        claim(f"report folder MB at {n}", folder, 100, at_least=False),
        claim(f"report load s at {n}", figures["load_ms"] / 1000, 3, at_least=False),
        claim(f"report filter s at {n}", figures["filter_ms"] / 1000, 0.2, at_least=False),
        claim(f"report requests outside at {n}", figures["requests_outside"], 0, at_least=False),
    ]
    return figures | {"claims": claims}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", type=int, default=[2_485, 100_000])
    parser.add_argument("--out", type=Path, help="leave the pages in this new folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        top = args.out or Path(scratch)
        save("report_size", {"pages": [measure(n, top / str(n)) for n in args.sizes]})


if __name__ == "__main__":
    main()
