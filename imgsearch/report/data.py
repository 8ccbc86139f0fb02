"""What a report is made of: plain frames, already sampled to what a page can hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

PER_CLUSTER = 12
OUTLIERS_PER_CLUSTER = 4
MAX_CLUSTERS = 200
MAX_QUERIES = 40
MATCHES_PER_QUERY = 10
MAP_POINTS = 3000
REFUSED_EXAMPLES = 40


@dataclass(frozen=True)
class ReportData:
    """Everything a page shows. Any frame may be empty, with or without its columns.

    Frames may be samples; then the totals have to be given, because a sample cannot count. What is wanted:

    - ``images`` [image_id, path, format, width, height, n_bytes, and optionally folder or source]: at least every
      image that another frame mentions (for names and facts), one row a path.
    - ``quarantine`` [path, stage, reason, detail]: a few of every reason; 40 examples are shown.
    - ``clusters`` [cluster_id, size, medoid_id, cohesion, label (optional)]: all of them (narrow); the 200 largest are
      drawn, the rest summarised.
    - ``members`` [image_id, cluster_id, score, rank, is_outlier]: per drawn cluster the 12 nearest and the 4 farthest
      outliers.
    - ``curve`` [n_clusters, criterion, chosen]: the counts that were tried where nobody gave one.
    - ``doubt`` [confidence, images]: how many images that nobody named have a label of each confidence (NaN: none).
    - ``map`` [image_id, x, y, cluster_id]: up to 3,000 points.
    - ``matches`` [query_id, query_path, rank, image_id, path, score]: up to 40 queries with 10 matches each.
    - ``metrics`` [metric, k, value] and ``runs`` [job, started_at, seconds, rows_in, rows_out, quarantined,
      rows_per_second]: all.
    - ``thumbnails``: image_id (or query_id) → path relative to the page, as ``thumbnails/ab12.jpg``.

    Totals (``None``: count the frame): ``n_images_total`` rows of ``images``, ``n_distinct_total`` distinct image_id,
    ``n_quarantined_total``, ``n_clusters_total``. Breakdowns (``None``: from the frame, which the page then calls a
    sample if the totals say so): ``formats`` [format, n], ``folders`` [folder, n], ``sizes`` [longer_side, n] where
    longer_side is the greatest power of two not above the longer side in pixels, ``reasons`` [reason, stage, n].
    """

    title: str
    warehouse: str
    encoder: str
    projection: str
    images: pd.DataFrame = field(default_factory=pd.DataFrame)
    quarantine: pd.DataFrame = field(default_factory=pd.DataFrame)
    clusters: pd.DataFrame = field(default_factory=pd.DataFrame)
    members: pd.DataFrame = field(default_factory=pd.DataFrame)
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    doubt: pd.DataFrame = field(default_factory=pd.DataFrame)
    map: pd.DataFrame = field(default_factory=pd.DataFrame)
    matches: pd.DataFrame = field(default_factory=pd.DataFrame)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)
    thumbnails: dict[str, str] = field(default_factory=dict)
    n_images_total: int | None = None
    n_distinct_total: int | None = None
    n_quarantined_total: int | None = None
    n_clusters_total: int | None = None
    formats: pd.DataFrame | None = None
    folders: pd.DataFrame | None = None
    sizes: pd.DataFrame | None = None
    reasons: pd.DataFrame | None = None
    created_at: datetime | None = None
