"""A warehouse with something in every table that ``export`` reads, as rows: what oracles count."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from support.review import NOW, Drawn, make_warehouse, write

from imgsearch.encoders.encoder import resolve
from imgsearch.tables import (
    CLUSTER_EVENTS,
    CLUSTERS,
    DRIFT,
    DUPLICATES,
    EMBEDDINGS,
    IMAGE_LABELS,
    IMAGES,
    MATCHES,
    MEMBERS,
    METRICS,
    PROJECTIONS,
    QUARANTINE,
    RUNS,
    SEARCHES,
    THUMBNAILS,
    TableSpec,
)

Rows = list[dict[str, Any]]
GONE_ID, GONE_CLUSTER, NEW_CLUSTER = "f" * 64, 40, 6
FIRST_FIT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


class StarWarehouse(NamedTuple):
    """``location``, and the rows of its tables by name."""

    location: str
    rows: dict[str, Rows]


def make_star_warehouse(where: Path, draw: Callable[..., Path], encoder_name: str) -> StarWarehouse:
    """Four kinds of images in clusters 0, 3, 6, 9; two sources; names, matches, duplicates, refusals, history.

    What has left still is named: the best match of the second query, cluster 40 in the history.
    """
    drawn = make_warehouse(where, draw, encoder_name)
    images = _images(drawn, where)
    clusters = {i: 3 * kind for i, kind in zip(drawn.ids, drawn.kinds, strict=True)}
    encoder_id = resolve(encoder_name).encoder_id
    projection_id = _projection_of(drawn.location)
    tables: list[tuple[TableSpec, Rows]] = [
        (IMAGES, images),
        (EMBEDDINGS, _embeddings(drawn.ids, encoder_id)),
        (MEMBERS, _members(drawn.ids, clusters, projection_id)),
        (CLUSTERS, _clusters(drawn, clusters, projection_id)),
        (IMAGE_LABELS, _labels(images, clusters)),
        (MATCHES, _matches(images)),
        (SEARCHES, [_search()]),
        (DUPLICATES, _duplicates(images)),
        (QUARANTINE, _refused(images, where, encoder_id)),
        (CLUSTER_EVENTS, _events(projection_id)),
        (DRIFT, _drift(projection_id)),
        (METRICS, [{"metric": "precision_at_k", "k": 1, "value": 0.9}]),
        (RUNS, [_run()]),
        (THUMBNAILS, [{"image_id": drawn.ids[0], "thumbnail": _jpeg()}]),
    ]
    for spec, rows in tables:
        write(Path(drawn.location), spec, rows)
    return StarWarehouse(drawn.location, {spec.name: rows for spec, rows in tables})


def _jpeg() -> bytes:
    """A thumbnail that no decode of a drawn picture gives."""
    out = io.BytesIO()
    Image.new("RGB", (23, 17), (1, 2, 3)).save(out, "JPEG")
    return out.getvalue()


def _images(drawn: Drawn, where: Path) -> Rows:
    """Every third image has a copy in another source; ``day`` is a date in text, ``note`` is one in all but one."""
    rows: Rows = []
    for n, (image_id, path) in enumerate(zip(drawn.ids, drawn.paths, strict=True)):
        row = {
            "image_id": image_id, "path": str(path), "source": str(where / "pictures"), "format": "PNG", "width": 40,
            "height": 30, "n_bytes": 1000 + n, "modified_at": NOW - timedelta(days=n), "ingested_at": NOW,
            "site": "AB"[n % 2], "equipment_id": f"P-{n % 5}", "camera": f"cam {n % 3}",
            "day": f"2024-{1 + n % 12:02d}", "note": "2024-01-01" if n else "none", "is_present": "yes",
        }  # fmt: skip
        rows.append(row)
        if n % 3 == 0:
            rows.append(
                {
                    **row,
                    "path": str(where / "second" / f"{n}.png"),
                    "source": str(where / "second"),
                    "site": "C",
                    "day": None,
                }
            )
    return rows


def _embeddings(ids: list[str], encoder_id: str) -> Rows:
    return [
        {"image_id": i, "encoder_id": encoder_id, "embedding": b"", "sharpness": n / 100, "brightness": 0.2 + n / 200,
         "contrast": 0.1, "entropy": 7.0, "embedded_at": NOW}
        for n, i in enumerate(ids)
    ]  # fmt: skip


def _members(ids: list[str], clusters: dict[str, int], projection_id: str) -> Rows:
    return [
        {"image_id": i, "projection_id": projection_id, "cluster_id": clusters[i], "score": 0.9 - n / 100,
         "is_outlier": n % 7 == 0, "second_cluster_id": (clusters[i] + 3) % 12, "margin": 0.1}
        for n, i in enumerate(ids)
    ]  # fmt: skip


def _clusters(drawn: Drawn, clusters: dict[str, int], projection_id: str) -> Rows:
    return [
        {"cluster_id": c, "projection_id": projection_id, "size": list(clusters.values()).count(c),
         "medoid_id": next(i for i in drawn.ids if clusters[i] == c), "nearest_cluster_id": (c + 3) % 12,
         "outlier_threshold": 0.85, "centroid": b"", "metadata": [("site", "A")]}
        for c in (0, 3, 6, 9)
    ]  # fmt: skip


def _labels(images: Rows, clusters: dict[str, int]) -> Rows:
    rows: Rows = []
    for n, image in enumerate(images):
        named = n % 4 != 0
        rows.append({
            "image_id": image["image_id"], "path": image["path"],
            "label": f"kind {clusters[image['image_id']]}" if named else None,
            "confidence": 0.5 + (n % 10) / 20 if named else 0.0,
            "origin": ("none", "person", "cluster", "vote")[n % 4],
        })  # fmt: skip
    return rows[:-5]


def _matches(images: Rows) -> Rows:
    rows: Rows = []
    for q in range(3):
        for rank in range(1, 6):
            image = images[(7 * q + 3 * rank) % len(images)]
            is_gone = q == 1 and rank == 1
            rows.append({
                "search_id": "monday", "query_id": f"{q}" * 64, "query_path": f"/queries/{q}.png", "rank": rank,
                "image_id": GONE_ID if is_gone else image["image_id"],
                "path": "/left/gone.png" if is_gone else image["path"], "score": 1.0 - rank / 10 - q / 100,
            })  # fmt: skip
    return rows


def _search() -> dict[str, Any]:
    return {
        "search_id": "monday", "started_at": NOW, "seconds": 1.0, "queries": "/queries", "n_queries": 3,
        "n_matches": 15, "gallery": 30, "top_k": 5, "encoder_id": "e", "projection_id": "p",
        "settings": [("top_k", "5")], "versions_read": [("vectors", 0)],
    }  # fmt: skip


def _duplicates(images: Rows) -> Rows:
    """Copies by content; and the last image is near the first."""
    groups: dict[str, Rows] = {}
    for image in images:
        groups.setdefault(image["image_id"], []).append(image)
    rows: Rows = []
    for image_id, files in groups.items():
        for n, file in enumerate(files if len(files) > 1 else []):
            rows.append({
                "path": file["path"], "image_id": image_id, "representative_id": image_id,
                "representative_path": files[0]["path"], "kind": "copy" if n else "representative", "score": 1.0,
                "group_size": 2,
            })  # fmt: skip
    first, last = images[0], next(image for image in reversed(images) if image["image_id"] not in
                                  {row["image_id"] for row in rows})  # fmt: skip
    rows.append({
        "path": last["path"], "image_id": last["image_id"], "representative_id": first["image_id"],
        "representative_path": first["path"], "kind": "near", "score": 0.97, "group_size": 3,
    })  # fmt: skip
    return rows


def _refused(images: Rows, where: Path, encoder_id: str) -> Rows:
    """Of the first source, with and without ``key=value``; an image that the encoder refused; a query."""
    pictures = where / "pictures"
    bad = {"stage": "ingest", "reason": "truncated", "detail": "it ends early", "quarantined_at": NOW}
    return [
        {**bad, "path": f"{pictures}/site=North%20A/day=2024-11/x.jpg", "image_id": "e" * 64},
        {**bad, "path": f"{pictures}/site=B/y.jpg"},
        {**bad, "path": f"{pictures}/z.jpg"},
        {**bad, "path": images[2]["path"], "image_id": images[2]["image_id"], "stage": "embed",
         "encoder_id": encoder_id, "reason": "decode_error"},
        {**bad, "path": f"{pictures}/query.jpg", "stage": "search", "encoder_id": encoder_id},
    ]  # fmt: skip


def _events(projection_id: str) -> Rows:
    now = {"fitted_at": datetime.now(UTC), "projection_id": projection_id}
    return [
        {**now, "event": "kept", "cluster_id": 3, "others": None, "images": 5},
        {**now, "event": "new", "cluster_id": NEW_CLUSTER, "others": None, "images": 0},
        {**now, "event": "gone", "cluster_id": GONE_CLUSTER, "others": None, "images": None},
        {**now, "event": "split", "cluster_id": GONE_CLUSTER, "others": [3, NEW_CLUSTER], "images": None},
    ]


def _drift(projection_id: str) -> Rows:
    level = {"projection_id": projection_id, "images": 30, "outlier_share": 0.1, "mean_score": 0.8,
             "score_deviation": 0.05, "refit_due": False}  # fmt: skip
    return [
        {**level, "measured_at": FIRST_FIT, "event": "fit"},
        {**level, "measured_at": FIRST_FIT + timedelta(days=3), "event": "assign", "outlier_change": 0.2},
    ]


def _run() -> dict[str, Any]:
    return {
        "run_id": "r", "job": "ingest", "started_at": NOW, "seconds": 2.0, "rows_in": 3, "rows_out": 2,
        "quarantined": 1, "versions_read": [], "versions_written": [("images", 0)], "details": [],
    }  # fmt: skip


def _projection_of(location: str) -> str:
    from deltalake import DeltaTable

    return str(DeltaTable(f"{location}/{PROJECTIONS.name}").to_pandas()["projection_id"][0])
