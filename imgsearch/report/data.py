"""What a report is made of: plain frames, already sampled to what a page can hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

PER_CLUSTER = 12
OUTLIERS_PER_CLUSTER = 4
MAX_CLUSTERS = 200  # with a strip of members each
MAX_MEDOIDS = 1_000  # further clusters that have a picture
MAX_LISTED = 5_000  # further clusters that have a line
MAX_QUERIES = 40
MATCHES_PER_QUERY = 10
MAP_POINTS = 3000
REFUSED_EXAMPLES = 40
STRIP = 24  # pictures of a strip of odd, blurred or dark ones
COPY_GROUPS, PER_GROUP = 12, 5
VALUES_PER_COLUMN = 6  # of the carried values of a cluster


@dataclass(frozen=True)
class ReportData:
    """Everything a page shows. Any frame may be empty, with or without its columns.

    Frames may be samples; then the totals have to be given, because a sample cannot count. What is wanted:

    - ``images`` [image_id, path, format, width, height, n_bytes, and optionally folder, source, label, sharpness,
      brightness]: at least every image that another frame mentions (for names and facts), one row a path. Every other
      column is carried metadata: it is shown beside the picture, found by the filter, and colours the map.
    - ``quarantine`` [path, stage, reason, detail]: a few of every reason; 40 examples are shown.
    - ``clusters`` [cluster_id, size, medoid_id, cohesion, label and label_share (optional)]: all of them (narrow); the
      200 largest are drawn with members, 1,000 more with their medoid, 5,000 more as a line, the rest as a sentence.
    - ``values`` [cluster_id, column, value, n]: the commonest carried values of each drawn cluster's images.
    - ``members`` [image_id, cluster_id, score, rank, is_outlier]: per drawn cluster the 12 nearest and the 4 farthest
      outliers.
    - ``curve`` [n_clusters, criterion, chosen]: the counts that were tried where nobody gave one.
    - ``doubt`` [confidence, images]: how many images that nobody named have a label of each confidence (NaN: none).
    - ``map`` [image_id, x, y, cluster_id]: up to 3,000 points.
    - ``matches`` [query_id, query_path, rank, image_id, path, score]: up to 40 queries with 10 matches each.
    - ``strips`` [kind, image_id, value]: the images to look at, the worst first; ``kind``: odd, blurred or dark, and
      ``value`` the score, sharpness or brightness.
    - ``copies`` [representative_id, image_id, kind, score, group_size]: the largest groups of `dedup`.
    - ``confusion`` [label, cluster_label, n]: how many images with a label lie in clusters of a name (null: of none).
    - ``drift`` [measured_at, event, images, outlier_share, mean_score, refit_due, reason]: the last runs of `cluster`.
    - ``metrics`` [metric, k, value] and ``runs`` [job, started_at, seconds, rows_in, rows_out, quarantined,
      rows_per_second]: all.
    - ``thumbnails``: image_id (or query_id) → path relative to the page, as ``thumbnails/ab12.jpg``.

    Totals (``None``: count the frame): ``n_images_total`` rows of ``images``, ``n_distinct_total`` distinct image_id,
    ``n_quarantined_total``, ``n_clusters_total``, ``n_queries_total``, ``n_folders_total`` (``folders`` may hold the
    largest only), ``n_copies_total`` (groups; files in them beside the representatives). Breakdowns (``None``: from the
    frame, which the page then calls a sample if the totals say so): ``formats`` [format, n], ``folders`` [folder, n],
    ``sizes`` [longer_side, n] where
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
    values: pd.DataFrame = field(default_factory=pd.DataFrame)
    matches: pd.DataFrame = field(default_factory=pd.DataFrame)
    strips: pd.DataFrame = field(default_factory=pd.DataFrame)
    copies: pd.DataFrame = field(default_factory=pd.DataFrame)
    confusion: pd.DataFrame = field(default_factory=pd.DataFrame)
    drift: pd.DataFrame = field(default_factory=pd.DataFrame)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)
    thumbnails: dict[str, str] = field(default_factory=dict)
    n_images_total: int | None = None
    n_distinct_total: int | None = None
    n_quarantined_total: int | None = None
    n_clusters_total: int | None = None
    n_queries_total: int | None = None
    n_folders_total: int | None = None
    n_copies_total: tuple[int, int] | None = None
    formats: pd.DataFrame | None = None
    folders: pd.DataFrame | None = None
    sizes: pd.DataFrame | None = None
    reasons: pd.DataFrame | None = None
    created_at: datetime | None = None
