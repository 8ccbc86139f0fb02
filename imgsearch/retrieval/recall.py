"""One search with its settings, and the check of its recall against the exact answer."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.config import SearchConfig
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.retrieval.join import image_key, search
from imgsearch.retrieval.probes import UNCLUSTERED, choose_nprobe, nearest_clusters, recall_at_k
from imgsearch.retrieval.region_join import search_regions
from imgsearch.tables import VECTORS
from imgsearch.vectors import Ids, Matrix


class Search(NamedTuple):
    """One search with all that was asked of it. ``gallery``: ``image_id``, ``cluster_id``, ``vector``; narrowed.

    ``nearest``: (n_queries, nprobe) int64, the clusters that each query probes; ``None``: all. ``regions``:
    ``image_id``, ``region``, ``vector`` of parts of images, where an image ranks by the best of them and itself.
    """

    queries: Matrix
    own: Ids | None
    gallery: DataFrame
    size: int
    top_k: int
    min_score: float
    codebook: Codebook | None = None
    nearest: Ids | None = None
    regions: DataFrame | None = None

    def probing(self, nprobe: int | None) -> Search:
        """The same search of the ``nprobe`` nearest clusters of each query; ``None``: of all."""
        if nprobe is None or self.codebook is None:
            return self._replace(nearest=None)
        nearest = nearest_clusters(self.queries, self.codebook.centroids, self.codebook.cluster_ids, nprobe)
        return self._replace(nearest=nearest)

    @property
    def nprobe(self) -> int | None:
        """Clusters that a query probes."""
        return None if self.nearest is None else int(self.nearest.shape[1])

    def find(self, rows: Ids | None = None, top_k: int | None = None, *, exact: bool = False) -> DataFrame:
        """``join.search`` for the queries ``rows`` (all if not given); ``query_row`` counts in ``rows``.

        With ``regions`` it is ``region_join.search_regions``.
        """
        some = slice(None) if rows is None else rows
        own = None if self.own is None else self.own[some]
        nearest = None if exact or self.nearest is None else self.nearest[some]
        cut = min(top_k or self.top_k, self.size)
        if self.regions is not None:
            queries = self.queries[some]
            return search_regions(queries, self.gallery, self.regions, cut, own=own, min_score=self.min_score)
        return search(self.queries[some], self.gallery, cut, own=own, min_score=self.min_score, nearest=nearest)


class Check(NamedTuple):
    """Some of the queries, answered exactly: ``truth`` (query_row of the sample, image_key). The first ``n_chosen`` of
    ``rows`` serve to choose nprobe, the others to measure it, so that the figure is not the one that was fitted."""

    search: Search
    rows: Ids
    n_chosen: int
    truth: pa.Table
    seconds: float

    @classmethod
    def of(cls, request: Search, config: SearchConfig) -> Check | None:
        """Answer the sample; ``None`` where none was asked for."""
        n = min(config.check_queries, len(request.queries))
        if n == 0:
            return None
        start = time.monotonic()
        rows = np.random.default_rng(0).permutation(len(request.queries))[:n]
        truth = request.find(rows, exact=True).toArrow()
        return cls(request, rows, 0 if config.recall is None or n < 2 else n // 2, truth, time.monotonic() - start)

    @property
    def measured(self) -> Ids:
        """The queries whose recall is measured."""
        return self.rows[self.n_chosen :]

    def nprobe_for(self, warehouse: TableStore, projection: Projection, recall: float) -> int:
        """The fewest clusters with which the choosing half reaches ``recall``, its doubt allowed for."""
        codebook = self.search.codebook
        assert codebook is not None
        n = self.n_chosen or len(self.rows)
        order = nearest_clusters(
            self.search.queries[self.rows[:n]], codebook.centroids, codebook.cluster_ids, len(codebook.cluster_ids)
        )
        queries, keys = self.truth.column("query_row").to_numpy(), self.truth.column("image_key").to_numpy()
        keys, queries = keys[queries < n], queries[queries < n]
        spark = warehouse.spark
        vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id)
        keys_frame = spark.createDataFrame(pa.table({"image_key": np.unique(keys)}))
        homes = vectors.select(image_key("image_id").alias("image_key"), "cluster_id")
        table = homes.join(F.broadcast(keys_frame), on="image_key", how="left_semi").toArrow()
        home_of = dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
        clusters = np.array([UNCLUSTERED if home_of[k] is None else home_of[k] for k in keys.tolist()], np.int64)
        hit = order[queries] == clusters[:, None]
        places = np.where(hit.any(axis=1), hit.argmax(axis=1), -1)
        return choose_nprobe(queries, places, recall, len(codebook.cluster_ids))

    def recall(self, matches: DataFrame) -> float:
        """``ann_recall_at_k`` of ``matches`` on the measured queries."""
        spark = matches.sparkSession
        rows = spark.createDataFrame(pa.table({"query_row": self.measured.astype(np.int32)}))
        answers = (
            matches.join(F.broadcast(rows), on="query_row", how="left_semi").select("query_row", "image_key").toArrow()
        )
        own_keys = _by_query(answers.column(0).to_pylist(), answers.column(1).to_pylist())
        sample = self.rows[self.truth.column("query_row").to_numpy()].tolist()
        truth = _by_query(sample, self.truth.column("image_key").to_pylist())
        measured = self.measured.tolist()
        return recall_at_k([own_keys.get(row, []) for row in measured], [truth.get(row, []) for row in measured])


def _by_query(rows: list[Any], keys: list[Any]) -> dict[int, list[int]]:
    matches: dict[int, list[int]] = {}
    for row, key in zip(rows, keys, strict=True):
        matches.setdefault(row, []).append(key)
    return matches
