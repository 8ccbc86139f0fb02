"""A warehouse made without a JVM: drawn pictures, the tiny encoder, clusters by kind, written by delta-rs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from imgsearch.encoders.embedding import embed_files
from imgsearch.encoders.encoder import resolve
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.runtime import load_runtime
from imgsearch.images.decode import DecodeLimits
from imgsearch.lake.delta_folder import arrow_schema
from imgsearch.projections.projection import Projection
from imgsearch.tables import CLUSTERS, ENCODERS, IMAGES, MEMBERS, PROJECTIONS, QUARANTINE, VECTORS, TableSpec
from imgsearch.vectors import Matrix, pack, unit

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


class Drawn(NamedTuple):
    """``location`` and, row by row: ``ids``, ``paths``, ``kinds``, ``vectors`` (n, 24). Cluster numbers are 3 kind."""

    location: str
    ids: list[str]
    paths: list[Path]
    kinds: list[int]
    vectors: Matrix


def make_warehouse(
    where: Path, draw: Callable[..., Path], encoder_name: str, n_kinds: int = 4, visits: int = 6
) -> Drawn:
    """Kind ``k`` has ``visits + k`` pictures, of the sites A and B in turn; one file was refused."""
    named = [(kind, visit) for kind in range(n_kinds) for visit in range(visits + kind)]
    paths = [draw(where / "pictures" / f"{kind}-{visit}.png", kind, visit) for kind, visit in named]
    ids = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    encoder = resolve(encoder_name)
    runtime = load_runtime(graph_of(encoder), encoder, 1)
    sources = [path.read_bytes for path in paths]
    embeddings = embed_files(sources, runtime, encoder.preprocessing, encoder.dim, DecodeLimits()).embeddings
    ones = np.ones(encoder.dim, np.float32)
    projection = Projection(
        encoder.encoder_id, embeddings.mean(axis=0), np.eye(encoder.dim, dtype=np.float32), ones, ones / encoder.dim,
        0.0, len(ids), "gram",
    )  # fmt: skip
    vectors = projection.apply(embeddings)
    kinds = np.array([kind for kind, _ in named])
    centroids = unit(np.stack([vectors[kinds == kind].mean(axis=0) for kind in range(n_kinds)]))
    location = where / "warehouse"
    location.mkdir()
    settings = json.dumps(encoder.settings, sort_keys=True)
    write(location, ENCODERS, [{
        "encoder_id": encoder.encoder_id, "name": encoder_name, "dim": encoder.dim, "settings": settings,
        "created_at": NOW,
    }])  # fmt: skip
    write(location, PROJECTIONS, [projection_row(projection)])
    write(location, IMAGES, [
        {"image_id": i, "path": str(path), "source": str(where), "format": "PNG", "modified_at": NOW, "width": 40,
         "height": 30, "site": "AB"[visit % 2], "visit_date": f"2024-0{1 + visit % 9}-01"}
        for i, path, (_, visit) in zip(ids, paths, named, strict=True)
    ])  # fmt: skip
    write_clustered(location, projection.projection_id, ids, vectors, kinds, centroids)
    write(location, QUARANTINE, [{
        "path": "/x/<script>alert(1)</script>.jpg", "stage": "ingest", "reason": "truncated", "detail": "it ends early",
    }])  # fmt: skip
    return Drawn(str(location), ids, paths, kinds.tolist(), vectors)


def write_clustered(
    location: Path, projection_id: str, ids: list[str], vectors: Matrix, clusters: np.ndarray, centroids: Matrix
) -> None:
    """``vectors``, ``members`` and ``clusters``; cluster numbers have gaps (times 3)."""
    scores = vectors @ centroids.T
    own = scores[np.arange(len(ids)), clusters]
    other = scores.copy()
    other[np.arange(len(ids)), clusters] = -2
    packed = pack(vectors).to_pylist()
    write(location, VECTORS, [
        {"image_id": i, "projection_id": projection_id, "cluster_id": int(c) * 3, "vector": v}
        for i, c, v in zip(ids, clusters, packed, strict=True)
    ])  # fmt: skip
    write(location, MEMBERS, [
        {"image_id": i, "projection_id": projection_id, "cluster_id": int(c) * 3, "score": float(s),
         "is_outlier": False, "margin": float(s - o)}
        for i, c, s, o in zip(ids, clusters, own, other.max(axis=1), strict=True)
    ])  # fmt: skip
    rows = []
    for kind, centroid in enumerate(pack(centroids).to_pylist()):
        there = np.flatnonzero(clusters == kind)
        medoid = ids[there[np.argmax(own[there])]] if len(there) else None
        rows.append({"cluster_id": 3 * kind, "projection_id": projection_id, "size": len(there), "medoid_id": medoid,
                     "silhouette": 0.5, "centroid": centroid})  # fmt: skip
    write(location, CLUSTERS, rows)


def projection_row(projection: Projection) -> dict[str, Any]:
    def packed(values: np.ndarray) -> bytes:
        return np.ascontiguousarray(values, "<f4").tobytes()

    return {
        "projection_id": projection.projection_id, "encoder_id": projection.encoder_id, "dim": projection.dim,
        "n_components": projection.n_components, "whitening": projection.whitening, "mean": packed(projection.mean),
        "components": packed(projection.components), "scale": packed(projection.scale),
        "explained_variance": packed(projection.explained_variance_ratio), "n_fitted": projection.n_fitted,
        "engine": projection.engine, "storage": projection.storage, "created_at": NOW,
    }  # fmt: skip


def write(location: Path, spec: TableSpec, rows: list[dict[str, Any]]) -> None:
    """Rows of a table; columns that it does not have are carried ones, of text."""
    carried = [name for name in rows[0] if name not in spec.columns]
    schema = pa.schema([*arrow_schema(spec), *(pa.field(name, pa.string()) for name in carried)])
    write_deltalake(
        f"{location}/{spec.name}", pa.Table.from_pylist(rows, schema), mode="overwrite", schema_mode="overwrite"
    )
