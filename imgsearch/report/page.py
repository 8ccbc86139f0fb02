"""The report: one HTML file that opens from disk, with nothing beside it but thumbnails.

Names of files come from outside and are hostile until shown otherwise: everything is escaped by the template engine,
odd characters are spelt out, and the page's content security policy names the one script that may run by its hash
and forbids every connection.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgsearch.errors import LAUNCHER
from imgsearch.report import confusion, curve, drifting, ingested, metadata, scatter, strips, trust
from imgsearch.report.album import Album, Record, records
from imgsearch.report.clusters import drawn_clusters, name_of, not_drawn, ranked, small_clusters
from imgsearch.report.colouring import Colouring, colouring
from imgsearch.report.data import MAP_POINTS, MATCHES_PER_QUERY, MAX_QUERIES, ReportData
from imgsearch.report.match_boxes import box_of_match, box_of_query, drawing
from imgsearch.report.palette import DARK, DARK_PAGE, LIGHT, LIGHT_PAGE, RAMP, assign_marks, outline
from imgsearch.report.text import count, decimal, duration, moment
from imgsearch.terminal import is_missing, visible

if TYPE_CHECKING:
    import jinja2

__all__ = ["ReportData", "render", "write_report"]

MAX_COLOURINGS = 24

METRICS_EXPLAINED = {
    "hit_rate_at_k": "share of queries with at least one right image among the first k",
    "precision_at_k": "share of the first k that are right, averaged over queries",
    "map": "mean over queries of the average precision of the whole ranking",
    "ann_recall_at_k": "share of the true k nearest that a cluster-pruned search found",
    "purity": "share of images whose class is the commonest of their cluster",
    "nmi": "normalised mutual information of clusters and classes, 0 to 1",
    "label_accuracy": "share of the labels spread from people's that are right",
    "label_coverage": "share of images that were given such a label at all",
}
for _name in ("precision_at_k", "hit_rate_at_k"):
    METRICS_EXPLAINED[f"search_{_name}"] = f"in the last search: {METRICS_EXPLAINED[_name]}"
for _name in ("precision_at_k", "hit_rate_at_k", "map"):
    METRICS_EXPLAINED[f"expanded_{_name}"] = f"each query moved towards its best matches: {METRICS_EXPLAINED[_name]}"


def write_report(data: ReportData, out: Path) -> Path:
    """Write ``out/index.html`` and return its path; ``out`` is made where it is missing.

    The page replaces an older one in one step: a reader sees the old page or the new one. Thumbnails are the caller's
    to write. ``ReportData`` says what is wanted, in which sample sizes. Raises ``ValueError`` for a thumbnail path
    that does not lie beside the page.
    """
    html = render(data)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "index.html"
    partial = out / f".index.html.{os.getpid()}"
    try:
        partial.write_text(html, encoding="utf-8", newline="\n")
        os.replace(partial, page)
    finally:
        partial.unlink(missing_ok=True)
    return page


def render(data: ReportData) -> str:
    """The page's text."""
    album = Album(data.images, data.thumbnails)
    sections = _sections(data, album)
    names = {int(row["cluster_id"]): name_of(row) for row in ranked(data)}
    points = _points(data, album)
    for point in points:  # clusters that only the map knows
        if point.cluster is not None:
            names.setdefault(point.cluster, f"Cluster {point.cluster}")
    marks = assign_marks(list(names), scatter.centres(points))
    searches = _searches(data, album)
    return _template().render(
        **_resources(),
        data=data,
        created=data.created_at or datetime.now(),
        map=scatter.draw(points, marks, names) if points else None,
        searches=searches,
        more_queries=max(0, (data.n_queries_total or 0) - len(searches)),
        marks=marks,
        names=names,
        glyph=lambda shape: outline(shape, 0, 0, 4),
        launcher=LAUNCHER,
        payload=_payload(album, points, names, _colourings(data, album, points)),
        **sections,
    )


def _sections(data: ReportData, album: Album) -> Record:
    """What the sections say that need neither the map nor the queries."""
    return {
        "totals": _totals(data),
        "pace": _pace(data),
        "by_format": ingested.by_format(data),
        "by_folder": ingested.by_folder(data),
        "further_folders": ingested.further_folders(data),
        "by_size": ingested.by_size(data),
        "reasons": ingested.refused_by_reason(data),
        "refused": ingested.refused_examples(data),
        "clusters": drawn_clusters(data, album),
        "small_clusters": small_clusters(data, album),
        "not_drawn": not_drawn(data),
        "strips": strips.odd_strips(data, album),
        "copies": strips.copy_strips(data, album),
        "copies_note": strips.copies_note(data),
        "confusion": confusion.table(data),
        "drift": drifting.draw(data),
        "curve": curve.draw(data),
        "trust": trust.draw(data),
        "metrics": _metrics(data),
        "explained": METRICS_EXPLAINED,
        "runs": sorted(records(data.runs), key=lambda run: str(run.get("started_at"))),
    }


def _template() -> jinja2.Template:
    import jinja2  # executors have no Jinja

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.loader = jinja2.FunctionLoader(_resource)
    environment.filters.update(count=count, decimal=decimal, duration=duration, moment=moment, visible=visible)
    return environment.get_template("report.html.j2")


def _resources() -> Record:
    """The page's style and script, and the script's hash for its content security policy."""
    from markupsafe import Markup

    script = _resource("report.js")
    return {
        "style": Markup(_resource("report.css").replace("/* palette */", _palette_css())),  # noqa: S704 - our own files
        "script": Markup(script),  # noqa: S704
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def _resource(name: str) -> str:
    return (files("imgsearch.report") / "templates" / name).read_text(encoding="utf-8")


def _palette_css() -> str:
    """Custom properties for both schemes, and the one class per colour that uses them."""
    light = "".join(f"--c{i}:{colour};" for i, colour in enumerate(LIGHT))
    dark = "".join(f"--c{i}:{colour};" for i, colour in enumerate(DARK))
    light += "".join(f"--r{i}:{colour};" for i, colour in enumerate(RAMP))
    classes = "".join(f".c{i}{{--mark:var(--c{i})}}" for i in range(len(LIGHT)))
    classes += "".join(f".r{i}{{--mark:var(--r{i})}}" for i in range(len(RAMP)))
    return (
        f":root{{--page:{LIGHT_PAGE};{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{--page:{DARK_PAGE};{dark}}}}}\n{classes}"
    )


def _totals(data: ReportData) -> Record:
    """The figures of the summary line, and whether the images frame is but a sample."""
    n_rows = len(data.images)
    n_images = n_rows if data.n_images_total is None else data.n_images_total
    n_distinct = data.n_distinct_total
    if n_distinct is None and "image_id" in data.images:
        n_distinct = int(data.images["image_id"].nunique())
    return {
        "images": n_images,
        "distinct": n_distinct or 0,
        "quarantined": len(data.quarantine) if data.n_quarantined_total is None else data.n_quarantined_total,
        "clusters": len(data.clusters) if data.n_clusters_total is None else data.n_clusters_total,
        "sampled": n_rows if n_rows < n_images else None,
    }


def _pace(data: ReportData) -> Record:
    """Seconds of each job's latest run, summed, and the rate of the latest embed run."""
    latest: dict[str, Record] = {}
    for run in sorted(records(data.runs), key=lambda run: str(run.get("started_at"))):
        latest[str(run.get("job"))] = run
    return {
        "seconds": sum(float(run.get("seconds") or 0) for run in latest.values()) if latest else None,
        "images_per_second": latest.get("embed", {}).get("rows_per_second"),
    }


def _points(data: ReportData, album: Album) -> list[scatter.Point]:
    rows = records(data.map)[:MAP_POINTS]
    return [
        scatter.Point(
            float(row["x"]),
            float(row["y"]),
            None if row.get("cluster_id") is None else int(row["cluster_id"]),
            album.picture(row.get("image_id")).index,
        )
        for row in rows
        if not is_missing(row.get("x")) and math.isfinite(row["x"])
        if not is_missing(row.get("y")) and math.isfinite(row["y"])
    ]


def _searches(data: ReportData, album: Album) -> list[Record]:
    """Queries in the order of the frame, each with its matches by rank."""
    searches: dict[str, Record] = {}
    for row in records(data.matches):
        key = str(row.get("query_id"))
        if key not in searches and len(searches) == MAX_QUERIES:
            continue
        query = album.picture(key, row.get("query_path"))
        part = drawing(box_of_query(key), query.width, query.height)
        entry = searches.setdefault(key, {"query": query, "part": part, "matches": []})
        entry["matches"].append((int(row.get("rank") or 0), row))
    for entry in searches.values():
        ordered = [row for _, row in sorted(entry["matches"], key=lambda pair: pair[0])][:MATCHES_PER_QUERY]
        entry["matches"] = [_match(row, album) for row in ordered]
    return list(searches.values())


def _match(row: Record, album: Album) -> Record:
    picture = album.picture(row.get("image_id"), row.get("path"))
    part = drawing(box_of_match(row), picture.width, picture.height)
    return {"picture": picture, "score": decimal(row.get("score")), "part": part}


def _metrics(data: ReportData) -> Record:
    """Metrics as rows, their cuts as columns; ``None`` is the column of metrics without a cut."""
    values: dict[str, dict[int | None, float]] = {}
    for row in records(data.metrics):
        cut = None if row.get("k") is None else int(row["k"])
        values.setdefault(str(row.get("metric")), {})[cut] = row.get("value")  # type: ignore[assignment]
    cuts = sorted({cut for row in values.values() for cut in row}, key=lambda cut: (cut is not None, cut or 0))
    return {"cuts": cuts, "rows": [(visible(name), [row.get(cut) for cut in cuts]) for name, row in values.items()]}


def _colourings(data: ReportData, album: Album, points: list[scatter.Point]) -> list[Colouring]:
    """Colours of the map's points by label, by each carried column, by quality."""
    columns = ["label", "sharpness", "brightness", "format", *metadata.carried(data.images.columns)]
    rows = {str(row.get("image_id")): row for row in records(data.images)}
    shown = [rows.get(image_id, {}) for image_id in album.ids(point.picture for point in points)]
    found = (colouring(column, [row.get(column) for row in shown]) for column in dict.fromkeys(columns))
    return [colours for colours in found if colours is not None][:MAX_COLOURINGS]


def _payload(
    album: Album, points: list[scatter.Point], names: dict[int, str], colourings: list[Colouring]
) -> dict[str, Any]:
    """What the script needs: pictures by index, places on the map by picture, names of clusters, other colours."""
    fitted, _ = scatter.fit(points)
    return {
        "pictures": [[p.path, p.thumbnail, p.facts, p.image_id, p.about] for p in album.used()],
        "points": [[round(p.x, 1), round(p.y, 1), p.picture, p.cluster] for p in fitted],
        "names": {str(cluster): name for cluster, name in names.items()},
        "colours": [c._asdict() | {"column": visible(c.column)} for c in colourings],
    }
