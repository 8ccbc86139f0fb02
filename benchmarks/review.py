"""The review page's answers: search by upload on 100,000 vectors, a keystroke with 10,000 clusters, memory.

    make bench-review ARGS="--images 100000 --clusters 10000"

A warehouse of numbers is written once by delta-rs (the real default encoder, random unit vectors around random
centroids); the server is built as by the job and asked through its whole stack (guard, routes, JSON) in process.
Uploads are 640 x 480 JPEGs.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from measure import claim, forget_peak, peak_mb, save

from imgsearch.config import ReviewConfig
from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.lake.delta_folder import arrow_schema
from imgsearch.projections.projection import Projection
from imgsearch.review.review import build
from imgsearch.tables import CLUSTERS, ENCODERS, IMAGES, MEMBERS, PROJECTIONS, VECTORS, TableSpec
from imgsearch.vectors import pack, unit

DIM = 256
HOST = "127.0.0.1:8765"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--clusters", type=int, default=10_000)
    parser.add_argument("--uploads", type=int, default=60)
    parser.add_argument("--decisions", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imgsearch-review-") as folder:
        make_warehouse(Path(folder), args.images, args.clusters)
        figures = measure(folder, args.uploads, args.decisions)
    name = "review" if args.images >= 100_000 else "review_small"
    save(name, {"images": args.images, "clusters": args.clusters, **figures})


def measure(folder: str, n_uploads: int, n_decisions: int) -> dict[str, Any]:
    """Ask the server of the warehouse in ``folder``, and print what it took."""
    from starlette.testclient import TestClient

    forget_peak()
    start = time.perf_counter()
    server = build(ReviewConfig(warehouse=folder, reviewer="bench"))
    loaded = time.perf_counter() - start
    server.answers.finder.warm_up()
    print(f"tables loaded in {loaded:.1f} s, ready to search after {time.perf_counter() - start:.1f} s", flush=True)
    client = TestClient(server.app(), base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
    cluster_id = client.get("/api/summary").json()["first"]
    uploads = [picture(seed) for seed in range(n_uploads)]
    search = timed(lambda i: client.post("/api/search", content=uploads[i]), n_uploads)
    at = [cluster_id]

    def keystroke(i: int) -> Any:
        """Enter: the name is written, and the next cluster comes back with the progress."""
        given = {"kind": "cluster", "action": "name", "cluster_id": at[0], "label": f"name {i % 40}"}
        answer = client.post("/api/decide", json=given)
        at[0] = answer.json()["next"]
        return answer

    decide = timed(keystroke, n_decisions)
    step = timed(lambda i: client.get(f"/api/cluster/{server.answers.number(i)}"), 100)
    undo = timed(lambda i: client.post("/api/undo", json={}), 20)
    memory = peak_mb()
    claims = [
        claim("review search by upload p50 s", percentile(search, 50), 1.0, at_least=False),
        claim("review search by upload p95 s", percentile(search, 95), 1.0, at_least=False),
        claim("review keystroke p50 s", percentile(decide, 50), 0.1, at_least=False),
        claim("review keystroke p95 s", percentile(decide, 95), 0.1, at_least=False),
        claim("review next cluster p95 s", percentile(step, 95), 0.1, at_least=False),
        claim("review undo p95 s", percentile(undo, 95), 0.1, at_least=False),
        claim("review peak memory MB", memory, 1500, at_least=False),
    ]
    return {"loaded_s": loaded, "claims": claims, "search_s": search, "keystroke_s": decide, "step_s": step}


def timed(ask: Callable[[int], Any], n: int) -> list[float]:
    """Seconds of each of ``n`` requests, all of which must be answered well."""
    seconds = []
    for i in range(n):
        start = time.perf_counter()
        answer = ask(i)
        seconds.append(time.perf_counter() - start)
        if answer.status_code != 200:
            raise SystemExit(f"request {i}: {answer.status_code} {answer.text[:200]}")
    return seconds


def percentile(seconds: list[float], share: int) -> float:
    """Of at least 20 requests."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[share - 1]


def picture(seed: int) -> bytes:
    """A 640 x 480 JPEG of smooth noise."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
    return out.getvalue()


def make_warehouse(where: Path, n: int, n_clusters: int) -> None:
    """Tables of numbers with the real encoder's row, so that an upload can be embedded."""
    encoder = resolve()
    rng = np.random.default_rng(0)
    centroids = unit(rng.standard_normal((n_clusters, DIM)).astype(np.float32))
    clusters = np.minimum(rng.geometric(2.5 / n_clusters, n) - 1, n_clusters - 1)
    vectors = unit(centroids[clusters] + rng.normal(0, 0.04, (n, DIM)).astype(np.float32))
    ids = [f"{i:064x}" for i in rng.permutation(n)]
    projection = random_projection(encoder, rng)
    write_encoder(where, encoder, projection)
    own = np.einsum("ij,ij->i", vectors, centroids[clusters])
    there = {"image_id": ids, "projection_id": [projection.projection_id] * n, "cluster_id": clusters.astype(np.int32)}
    write(where, VECTORS, pa.table(there | {"vector": pack(vectors)}))
    margins = rng.random(n).astype(np.float32)
    write(where, MEMBERS, pa.table(there | {"score": own, "is_outlier": np.zeros(n, bool), "margin": margins}))
    sites = np.array(["north", "south", "east", "west"])[rng.integers(0, 4, n)]
    paths = [f"/pictures/{i}.jpg" for i in range(n)]
    files = {"image_id": ids, "path": paths, "source": ["/pictures"] * n, "site": sites, "visit_date": ["2024-05"] * n}
    write(where, IMAGES, pa.table(files))
    write(where, CLUSTERS, pa.table({
        "cluster_id": np.arange(n_clusters, dtype=np.int32), "projection_id": [projection.projection_id] * n_clusters,
        "size": np.bincount(clusters, minlength=n_clusters), "centroid": pack(centroids),
        "silhouette": rng.normal(0.5, 0.2, n_clusters).astype(np.float32),
    }))  # fmt: skip


def random_projection(encoder: Encoder, rng: np.random.Generator) -> Projection:
    """Orthonormal components, of the encoder's width."""
    components = np.linalg.qr(rng.standard_normal((encoder.dim, DIM)))[0].T.astype(np.float32)
    ones = np.ones(DIM, np.float32)
    return Projection(
        encoder.encoder_id, np.zeros(encoder.dim, np.float32), np.ascontiguousarray(components), ones, ones / DIM, 0.0,
        1, "gram",
    )  # fmt: skip


def write_encoder(where: Path, encoder: Encoder, projection: Projection) -> None:
    """The rows of ``encoders`` and ``projections``."""
    import json

    settings = json.dumps(encoder.settings, sort_keys=True)
    write(where, ENCODERS, pa.table({
        "encoder_id": [encoder.encoder_id], "name": [encoder.name], "dim": [encoder.dim], "settings": [settings],
        "created_at": [NOW],
    }))  # fmt: skip
    arrays = {
        "mean": projection.mean, "components": projection.components, "scale": projection.scale,
        "explained_variance": projection.explained_variance_ratio,
    }  # fmt: skip
    write(where, PROJECTIONS, pa.table({
        "projection_id": [projection.projection_id], "encoder_id": [encoder.encoder_id], "dim": [encoder.dim],
        "n_components": [DIM], "whitening": [0.0], "n_fitted": [1], "engine": ["gram"], "storage": ["float32"],
        "created_at": [NOW], **{name: [values.tobytes()] for name, values in arrays.items()},
    }))  # fmt: skip


def write(where: Path, spec: TableSpec, table: pa.Table) -> None:
    """A table with the spec's types; columns that it does not have are carried ones."""
    schema = arrow_schema(spec)
    fields = [schema.field(name) if name in schema.names else table.schema.field(name) for name in table.column_names]
    write_deltalake(f"{where}/{spec.name}", table.cast(pa.schema(fields)), mode="overwrite")


if __name__ == "__main__":
    main()
