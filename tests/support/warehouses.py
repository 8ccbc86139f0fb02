"""Warehouses made of numbers: vectors in clusters, with metadata, and no image ever decoded."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.layout import lay_out
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import keep_projection
from imgsearch.tables import CLUSTERS, EMBEDDINGS, ENCODERS, IMAGES, MEMBERS, VECTORS
from imgsearch.vectors import Matrix, pack, unit

DIM = 16
ENCODER_ID = "an-encoder"


class Made(NamedTuple):
    """A warehouse and what is in it, row by row: ``ids`` (n,), ``vectors`` (n, DIM), ``clusters`` (n,)."""

    location: str
    ids: list[str]
    vectors: Matrix
    clusters: np.ndarray
    projection: Projection


def an_id(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def clustered(
    n: int, n_clusters: int, seed: int = 0, spread: float = 0.15, dim: int = DIM
) -> tuple[Matrix, np.ndarray, Matrix]:
    """Unit vectors around unit centroids: (n, dim), (n,) cluster numbers, (n_clusters, dim)."""
    rng = np.random.default_rng(seed)
    centroids = unit(rng.standard_normal((n_clusters, dim)).astype(np.float32))
    clusters = rng.integers(0, n_clusters, n)
    vectors = unit((centroids[clusters] + spread * rng.standard_normal((n, dim))).astype(np.float32))
    return vectors, np.argmax(vectors @ centroids.T, axis=1), centroids


def make(
    spark: SparkSession,
    where: Path,
    vectors: Matrix,
    clusters: np.ndarray | None = None,
    centroids: Matrix | None = None,
    ids: list[str] | None = None,
    paths: dict[str, str] | None = None,
) -> Made:
    """Write the tables. ``site`` is A for even rows, B for odd; ``equipment`` is the row number // 5; cluster numbers
    have gaps (times 3), as after a re-fit. ``paths``: more paths, with the ids that are found there."""
    n, dim = vectors.shape
    ids = ids or [an_id(i) for i in range(n)]
    warehouse = TableStore.open(spark, str(where), create=True)
    where.mkdir(parents=True, exist_ok=True)
    ones = np.ones(dim, np.float32)
    projection = Projection(
        encoder_id=ENCODER_ID, mean=0 * ones, components=np.eye(dim, dtype=np.float32), scale=ones,
        explained_variance_ratio=ones / dim, whitening=0.0, n_fitted=n, engine="gram",
    )  # fmt: skip
    keep_projection(warehouse, projection, "")
    now = datetime.now(UTC)
    encoder = [(ENCODER_ID, "none", dim, "{}", now)]
    warehouse.append(
        ENCODERS,
        spark.createDataFrame(
            encoder, "encoder_id string, name string, dim int, settings string, created_at timestamp"
        ),
    )
    rows = list(range(n))
    images = [(ids[i], f"/pictures/{i:05d}.jpg", "/pictures", "AB"[i % 2], f"E{i // 5:03d}", i) for i in rows]
    images += [(image_id, path, "/pictures", "A", "copy", -1) for path, image_id in (paths or {}).items()]
    warehouse.append(
        IMAGES,
        spark.createDataFrame(
            images, "image_id string, path string, source string, site string, equipment string, number int"
        ),
    )
    packed = pack(vectors)
    embeddings = pa.table({"image_id": ids, "encoder_id": [ENCODER_ID] * n, "embedding": packed})
    warehouse.append(EMBEDDINGS, spark.createDataFrame(embeddings).coalesce(1))
    own = pa.table({"image_id": ids, "projection_id": [projection.projection_id] * n, "vector": packed})
    warehouse.append(VECTORS, spark.createDataFrame(own).coalesce(1))
    if clusters is None or centroids is None:
        return Made(str(where), ids, vectors, np.full(n, -1), projection)
    numbers, m = (clusters * 3).astype(np.int32), len(centroids)
    codebook = Codebook(np.arange(m) * 3, centroids, np.full(m, -1, np.float32))
    members = pa.table({
        "image_id": ids, "projection_id": own.column(1), "cluster_id": numbers,
        "score": np.einsum("nd,nd->n", vectors, centroids[clusters]), "is_outlier": np.zeros(n, bool),
        "codebook_id": [codebook.codebook_id] * n,
    })  # fmt: skip
    warehouse.append(MEMBERS, spark.createDataFrame(members).coalesce(1))
    sizes = np.bincount(clusters, minlength=m)
    scores = np.where(clusters[:, None] == np.arange(m), vectors @ centroids.T, -np.inf)
    medoids = [ids[row] if n else None for row, n in zip(scores.argmax(axis=0), sizes, strict=True)]
    book = pa.table({
        "cluster_id": codebook.cluster_ids.astype(np.int32), "projection_id": [projection.projection_id] * m,
        "size": sizes, "centroid": pack(centroids), "outlier_threshold": codebook.thresholds,
        "codebook_id": [codebook.codebook_id] * m, "medoid_id": pa.array(medoids, pa.string()),
    })  # fmt: skip
    warehouse.append(CLUSTERS, spark.createDataFrame(book).coalesce(1))
    lay_out(warehouse, projection.projection_id, codebook, sizes)
    return Made(str(where), ids, vectors, numbers, projection)
