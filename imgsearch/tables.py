"""The tables of a warehouse: name, columns with types and comments, and key, as one text each.

Arrays of numbers are packed: little-endian float32 in a ``BINARY`` column (``numpy.frombuffer(value, "<f4")`` reads
one), because a Python worker reads that 1.7 times faster than ``array<float>`` and any Delta reader can open it.
Spark's ``VectorUDT`` never reaches a table: other readers could not open it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

#: The form of the tables, noted in ``runs``: 1 until ``region`` and ``outlier_threshold`` came.
FORMAT_VERSION = 2


@dataclass(frozen=True)
class TableSpec:
    """A table's name, its columns as SQL DDL, its key, and the job that writes it.

    ``open`` tables carry the user's own columns after ours (``images``, and what is derived from its metadata).
    ``renamed``: columns that had another name in older warehouses, with that name. ``row_group_bytes``: of the Parquet
    files, where single rows are read without Spark (default: Spark's, 128 MB).
    """

    name: str
    ddl: str
    key: tuple[str, ...]
    job: str
    open: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    row_group_bytes: int | None = None

    @property
    def schema(self) -> str:
        """The DDL without its comments."""
        return re.sub(r"\s*COMMENT\s+'(?:[^']|'')*'", "", self.ddl)

    @property
    def columns(self) -> tuple[str, ...]:
        """Our columns' names, in order."""
        return tuple(part.split()[0] for part in re.split(r",(?![^<(]*[>)])", self.schema) if part.strip())


IMAGES = TableSpec(
    "images",
    """
    image_id STRING NOT NULL COMMENT 'sha-256 of the file''s bytes, hex; copies of one file share it',
    path STRING NOT NULL COMMENT 'where it was found: a URI, or the key of a table row',
    source STRING NOT NULL COMMENT 'the folder, glob or table it was ingested from',
    format STRING COMMENT 'JPEG, PNG, ...',
    width INT COMMENT 'pixels, as displayed (EXIF orientation applied)',
    height INT COMMENT 'pixels, as displayed',
    n_pages INT COMMENT 'pictures in the file (TIFF), of which the first is used',
    n_bytes BIGINT COMMENT 'size of the file',
    modified_at TIMESTAMP COMMENT 'the file''s modification time, if known',
    etag STRING COMMENT 'the store''s own mark of these bytes, where it has one',
    ingested_at TIMESTAMP COMMENT 'when it came into this warehouse',
    exif_time TIMESTAMP COMMENT 'when it was taken; the camera''s own clock, where it wrote no offset from UTC',
    exif_camera STRING COMMENT 'make and model of the camera',
    exif_lens STRING COMMENT 'model of the lens',
    exif_latitude DOUBLE COMMENT 'degrees, north is positive',
    exif_longitude DOUBLE COMMENT 'degrees, east is positive',
    exif_orientation INT COMMENT 'how the pixels are turned in the file, 1 (upright) to 8'
    """,
    key=("path",),
    job="ingest",
    open=True,
)

CONTENTS = TableSpec(
    "contents",
    """
    image_id STRING NOT NULL,
    content BINARY NOT NULL COMMENT 'the file''s bytes, for images that came as bytes in a table'
    """,
    key=("image_id",),
    job="ingest",
)

THUMBNAILS = TableSpec(
    "thumbnails",
    """
    image_id STRING NOT NULL,
    thumbnail BINARY NOT NULL COMMENT 'a JPEG, upright, without metadata; at most 160 pixels a side and 24,500 bytes'
    """,
    key=("image_id",),
    job="embed",
    row_group_bytes=1 << 20,
)

QUARANTINE = TableSpec(
    "quarantine",
    """
    path STRING NOT NULL,
    image_id STRING COMMENT 'null where the bytes could not be read',
    stage STRING NOT NULL COMMENT 'ingest, embed or search',
    encoder_id STRING COMMENT 'the encoder that could not use it; null at ingest',
    reason STRING NOT NULL COMMENT 'a short word to group by',
    detail STRING COMMENT 'the sentence for people',
    n_bytes BIGINT COMMENT 'at ingest: size of the file, if known',
    modified_at TIMESTAMP COMMENT 'at ingest: its modification time, if known',
    etag STRING COMMENT 'at ingest: the store''s own mark of these bytes, where it has one',
    quarantined_at TIMESTAMP
    """,
    key=("path", "stage", "encoder_id"),
    job="ingest",
)

ENCODERS = TableSpec(
    "encoders",
    """
    encoder_id STRING NOT NULL COMMENT 'fingerprint of network, weights, preprocessing, pooling, precision',
    name STRING NOT NULL COMMENT 'what --encoder was given',
    dim INT NOT NULL,
    settings STRING NOT NULL COMMENT 'everything the fingerprint covers, as JSON',
    created_at TIMESTAMP
    """,
    key=("encoder_id",),
    job="embed",
)

EMBEDDINGS = TableSpec(
    "embeddings",
    """
    image_id STRING NOT NULL,
    encoder_id STRING NOT NULL,
    region STRING COMMENT 'null: the whole image; its parts are in tables of their own',
    embedding BINARY NOT NULL COMMENT 'packed little-endian float32, unit length',
    sharpness FLOAT COMMENT 'variance of the Laplacian of the grey image at network size, 0..1 grey levels',
    brightness FLOAT COMMENT 'mean grey level, 0..1',
    contrast FLOAT COMMENT 'standard deviation of the grey level, 0..1',
    entropy FLOAT COMMENT 'Shannon entropy of the 256-bin grey histogram, bits, 0..8',
    embedded_at TIMESTAMP
    """,
    key=("image_id", "encoder_id", "region"),
    job="embed",
)

#: The columns of a region's box.
BOX = ("region_x", "region_y", "region_w", "region_h")
_BOX = """
    region_x FLOAT NOT NULL COMMENT 'left edge, as a share of the picture''s width as displayed, 0..1',
    region_y FLOAT NOT NULL COMMENT 'upper edge, as a share of its height',
    region_w FLOAT NOT NULL COMMENT 'width, as a share of the picture''s',
    region_h FLOAT NOT NULL COMMENT 'height, as a share of the picture''s'
""".strip()
#: Parts of images have tables of their own: every reader of ``embeddings`` and ``vectors`` counts and reads images.
REGIONS = TableSpec(
    "regions",
    f"""
    image_id STRING NOT NULL,
    encoder_id STRING NOT NULL,
    region INT NOT NULL COMMENT 'number of this part of the image, from 1; the whole image is in embeddings',
    {_BOX},
    embedding BINARY NOT NULL COMMENT 'packed little-endian float32, unit length',
    embedded_at TIMESTAMP
    """,
    key=("image_id", "encoder_id", "region"),
    job="embed",
)

PROJECTIONS = TableSpec(
    "projections",
    """
    projection_id STRING NOT NULL,
    encoder_id STRING NOT NULL,
    dim INT NOT NULL,
    n_components INT NOT NULL,
    whitening FLOAT NOT NULL COMMENT 'components are divided by their standard deviation to this power',
    mean BINARY NOT NULL COMMENT 'packed float32, dim',
    components BINARY NOT NULL COMMENT 'packed float32, n_components x dim, row-major; orthonormal rows in a PCA',
    scale BINARY NOT NULL COMMENT 'packed float32, n_components',
    explained_variance BINARY NOT NULL COMMENT 'packed float32, n_components: share of the total variance',
    n_fitted BIGINT NOT NULL COMMENT 'embeddings the fit saw',
    engine STRING NOT NULL COMMENT 'gram or mllib; +wccn after it: learned from names',
    storage STRING NOT NULL COMMENT 'how its vectors are packed: float32, float16 or int8',
    path STRING COMMENT 'where the same projection stands as an MLlib PCAModel',
    created_at TIMESTAMP
    """,
    key=("projection_id",),
    job="compress",
)

VECTORS = TableSpec(
    "vectors",
    """
    image_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    region STRING COMMENT 'null: the whole image; its parts are in tables of their own',
    cluster_id INT COMMENT 'the cluster it lies with in the files; null for vectors newer than the clusters',
    vector BINARY NOT NULL COMMENT 'packed little-endian, unit length; float32 unless the projection says otherwise'
    """,
    key=("image_id", "projection_id", "region"),
    job="compress",
)

REGION_VECTORS = TableSpec(
    "region_vectors",
    f"""
    image_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    region INT NOT NULL COMMENT 'number of this part of the image, from 1; the whole image is in vectors',
    {_BOX},
    vector BINARY NOT NULL COMMENT 'packed little-endian, unit length; as in vectors'
    """,
    key=("image_id", "projection_id", "region"),
    job="compress",
)

NEIGHBOURS = TableSpec(
    "neighbours",
    """
    image_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    image_key BIGINT NOT NULL COMMENT 'the first 63 bits of image_id: by this the lists name images',
    neighbours BINARY NOT NULL COMMENT 'packed little-endian int64: image_key of the 20 nearest others, best first',
    scores BINARY NOT NULL COMMENT 'packed little-endian float32: their cosines; where there are fewer, key -1, -inf'
    """,
    key=("image_id", "projection_id"),
    job="neighbours",
)

CLUSTERS = TableSpec(
    "clusters",
    """
    cluster_id INT NOT NULL,
    projection_id STRING NOT NULL,
    size BIGINT NOT NULL COMMENT 'distinct images in it',
    medoid_id STRING COMMENT 'image_id of the member nearest to the centroid',
    medoid_path STRING,
    cohesion FLOAT COMMENT 'mean cosine of members to the centroid',
    silhouette FLOAT COMMENT 'mean simplified silhouette of its members, -1..1',
    nearest_cluster_id INT COMMENT 'the cluster with the most similar centroid',
    nearest_score FLOAT COMMENT 'cosine to its centroid',
    metadata MAP<STRING, STRING> COMMENT 'for each carried column its commonest value among the images of the fit',
    outlier_threshold FLOAT COMMENT 'the score below which a member is an outlier',
    centroid BINARY NOT NULL COMMENT 'packed float32, unit length',
    codebook_id STRING COMMENT 'fingerprint of all centroids of this fit and their numbers'
    """,
    key=("cluster_id", "projection_id"),
    job="cluster",
    renamed={"outlier_threshold": "fence"},
)

MAP_POINTS = TableSpec(
    "map_points",
    """
    image_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    x FLOAT NOT NULL COMMENT 'place on the map of the review page; what is alike lies close together; no unit',
    y FLOAT NOT NULL COMMENT 'place on the map, upwards',
    is_anchor BOOLEAN NOT NULL COMMENT 'arranged by t-SNE; the others were placed among these'
    """,
    key=("image_id", "projection_id"),
    job="review",
)

MEMBERS = TableSpec(
    "members",
    """
    image_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    cluster_id INT NOT NULL,
    score FLOAT NOT NULL COMMENT 'cosine to the centroid',
    is_outlier BOOLEAN NOT NULL COMMENT 'farther from its centroid than the cluster''s own rule allows',
    second_cluster_id INT COMMENT 'the best cluster but its own',
    margin FLOAT COMMENT 'score minus the cosine to the second-best centroid',
    codebook_id STRING COMMENT 'the fit that its cluster is of, as in clusters'
    """,
    key=("image_id", "projection_id"),
    job="cluster",
)

CLUSTER_EVENTS = TableSpec(
    "cluster_events",
    """
    fitted_at TIMESTAMP NOT NULL,
    projection_id STRING COMMENT 'null in rows of the first release, which had one projection',
    event STRING NOT NULL COMMENT 'kept, new, gone, split or merge',
    cluster_id INT NOT NULL COMMENT 'the cluster it happened to: old for gone and split, else new',
    others ARRAY<INT> COMMENT 'split: the clusters that now hold it; merge: the old ones it came from',
    images BIGINT COMMENT 'images in both'
    """,
    key=("fitted_at", "projection_id", "event", "cluster_id"),
    job="cluster",
)

CLUSTER_CURVE = TableSpec(
    "cluster_curve",
    """
    projection_id STRING COMMENT 'null in rows of the first release, which had one projection',
    n_clusters INT NOT NULL,
    criterion DOUBLE NOT NULL COMMENT 'ln(mean of 1 - cosine) + price of the clusters; the least is best',
    chosen BOOLEAN NOT NULL
    """,
    key=("projection_id", "n_clusters"),
    job="cluster",
)

DRIFT = TableSpec(
    "drift",
    """
    measured_at TIMESTAMP NOT NULL,
    projection_id STRING NOT NULL,
    event STRING NOT NULL COMMENT 'fit (the level to expect of new images) or assign (that of images assigned then)',
    images BIGINT NOT NULL COMMENT 'images it was measured on',
    outlier_share DOUBLE NOT NULL,
    mean_score DOUBLE NOT NULL COMMENT 'mean cosine to the own centroid',
    score_deviation DOUBLE NOT NULL COMMENT 'standard deviation of those cosines',
    outlier_change DOUBLE COMMENT 'all images assigned since the fit, or these alone if they differ: minus the fit''s',
    score_change DOUBLE COMMENT 'the same of mean_score',
    refit_due BOOLEAN NOT NULL,
    reason STRING COMMENT 'why a re-fit is due'
    """,
    key=("measured_at",),
    job="cluster",
)

LABELS = TableSpec(
    "labels",
    """
    label_id STRING NOT NULL COMMENT 'a random number of this decision',
    made_at TIMESTAMP NOT NULL COMMENT 'when it was made; decisions are read in this order',
    made_by STRING NOT NULL COMMENT 'who made it',
    kind STRING NOT NULL COMMENT 'what it is about: cluster, part (some images of a cluster), image or copies',
    action STRING NOT NULL COMMENT 'name, mixed, junk, same_as, split, drop, not_same or undo',
    label STRING COMMENT 'the name that was given',
    cluster_id INT COMMENT 'the cluster, as it was numbered then',
    other_cluster_id INT COMMENT 'same_as: the cluster whose name it shares',
    image_ids ARRAY<STRING> COMMENT 'part and image: the images; copies: one, and those that it is not the same as',
    medoid_id STRING COMMENT 'image_id of the medoid of the cluster then: it finds the cluster after a re-fit',
    member_digest STRING COMMENT 'sha-256 of the image_ids of the cluster then, ascending, a line each',
    projection_id STRING COMMENT 'the projection whose clusters were looked at',
    n_images BIGINT COMMENT 'images that it was about then',
    undoes STRING COMMENT 'undo: the label_id of what is taken back; an undo of an undo is a redo'
    """,
    key=("label_id",),
    job="review",
)

IMAGE_LABELS = TableSpec(
    "image_labels",
    """
    image_id STRING NOT NULL,
    path STRING NOT NULL,
    label STRING COMMENT 'null where the vote abstained',
    confidence FLOAT COMMENT 'how likely it is right, 0..1; below 50 names the mere share of the vote; null: no label',
    origin STRING NOT NULL COMMENT 'person (named itself), vote (named neighbours), cluster (its cluster was), none',
    runner_up STRING COMMENT 'the label with the second most votes; of an image without a label, that with the most',
    voters ARRAY<STRING> COMMENT 'image_id of the named images and medoids that voted, nearest first'
    """,
    key=("path",),
    job="label",
)

CONFLICTS = TableSpec(
    "conflicts",
    """
    image_id STRING NOT NULL COMMENT 'the image that a person named, or the medoid of the cluster',
    projection_id STRING NOT NULL,
    kind STRING NOT NULL COMMENT 'image, or cluster',
    cluster_id INT COMMENT 'where it lies',
    label STRING NOT NULL COMMENT 'what the person said',
    neighbour_label STRING NOT NULL COMMENT 'what the named images and clusters nearest to it say',
    share FLOAT NOT NULL COMMENT 'share of these neighbours that say so',
    confidence FLOAT NOT NULL COMMENT 'confidence of their vote, as in image_labels',
    voters ARRAY<STRING> COMMENT 'image_id of these neighbours, nearest first'
    """,
    key=("image_id", "projection_id"),
    job="label",
)

LABEL_NEXT = TableSpec(
    "label_next",
    """
    rank INT NOT NULL COMMENT 'from 1: the image whose name settles most',
    image_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    path STRING COMMENT 'one of its files',
    cluster_id INT COMMENT 'where it lies',
    label STRING COMMENT 'what it would be called as things stand',
    confidence FLOAT COMMENT 'confidence of that, as in image_labels',
    settles FLOAT NOT NULL COMMENT 'the doubt that its name takes away, in images, after the names of lower ranks'
    """,
    key=("rank",),
    job="label",
)

SEARCHES = TableSpec(
    "searches",
    """
    search_id STRING NOT NULL COMMENT 'what --search-id said, else made of time and settings',
    started_at TIMESTAMP NOT NULL COMMENT 'the last search is the one with the greatest',
    seconds DOUBLE NOT NULL,
    queries STRING NOT NULL COMMENT 'what --queries named',
    n_queries BIGINT NOT NULL,
    n_matches BIGINT NOT NULL,
    gallery BIGINT NOT NULL COMMENT 'images that were searched',
    top_k INT NOT NULL,
    encoder_id STRING NOT NULL,
    projection_id STRING NOT NULL,
    nprobe INT COMMENT 'clusters that each query probed; null: all',
    recall DOUBLE COMMENT 'measured ann_recall_at_k; null where it was not measured',
    settings MAP<STRING, STRING> COMMENT 'all settings of the search',
    versions_read MAP<STRING, BIGINT> COMMENT 'Delta version of each table it read'
    """,
    key=("search_id",),
    job="search",
)

MATCHES = TableSpec(
    "matches",
    """
    search_id STRING COMMENT 'the search, as in searches; null: older than that table',
    query_id STRING NOT NULL,
    query_path STRING,
    rank INT NOT NULL COMMENT 'from 1',
    image_id STRING NOT NULL,
    path STRING,
    score FLOAT NOT NULL COMMENT 'cosine, higher is better',
    is_match BOOLEAN COMMENT 'score reaches the calibrated threshold; null before `calibrate`',
    inliers INT COMMENT 'search --verify: places of both pictures that agree, 15 or more: verified; null: not checked',
    region_x FLOAT COMMENT 'left edge of the part of the image that has the score, as a share; null: the whole image',
    region_y FLOAT COMMENT 'its upper edge',
    region_w FLOAT COMMENT 'its width',
    region_h FLOAT COMMENT 'its height'
    """,
    key=("search_id", "query_id", "rank"),
    job="search",
)

GROUP_MATCHES = TableSpec(
    "group_matches",
    """
    search_id STRING COMMENT 'the search, as in searches; null: older than that table',
    query_id STRING NOT NULL,
    query_path STRING,
    rank INT NOT NULL COMMENT 'of the group, from 1',
    group_column STRING NOT NULL COMMENT 'what --group-by named',
    group_value STRING NOT NULL,
    group_score FLOAT NOT NULL COMMENT 'mean score of the images that vote for the group',
    image_rank INT NOT NULL COMMENT 'of the image in its group, from 1',
    image_id STRING NOT NULL,
    path STRING,
    score FLOAT NOT NULL COMMENT 'cosine of the image'
    """,
    key=("search_id", "query_id", "rank", "image_rank"),
    job="search",
)

CALIBRATIONS = TableSpec(
    "calibrations",
    """
    projection_id STRING NOT NULL,
    threshold FLOAT NOT NULL COMMENT 'pairs that score this or more are called a match',
    wanted_precision FLOAT NOT NULL,
    precision FLOAT NOT NULL COMMENT 'share of right ones among best matches, or given pairs, from the threshold on',
    recall FLOAT NOT NULL COMMENT 'share of the right ones that are at or above it',
    n_pairs BIGINT NOT NULL COMMENT 'best matches, or given pairs, that were looked at',
    n_matching BIGINT NOT NULL COMMENT 'those that are right',
    source STRING NOT NULL COMMENT 'the truth file',
    created_at TIMESTAMP,
    n_things BIGINT COMMENT 'labels in the truth; null for given pairs',
    other_things_precision FLOAT COMMENT 'precision on things that it was not learned from, by folds of things',
    other_things_spread FLOAT COMMENT 'standard deviation of that over the folds',
    other_things_answered FLOAT COMMENT 'share of their best matches that are at or above the threshold'
    """,
    key=("projection_id",),
    job="calibrate",
)

DUPLICATES = TableSpec(
    "duplicates",
    """
    path STRING NOT NULL,
    image_id STRING NOT NULL,
    representative_id STRING NOT NULL COMMENT 'image_id that stands for the group; it names the group',
    representative_path STRING,
    kind STRING NOT NULL COMMENT 'representative, copy (same bytes), near, edited (dedup --augment: same pixels)',
    score FLOAT NOT NULL COMMENT 'cosine to the representative: at least the threshold, but for edited ones',
    group_size BIGINT NOT NULL COMMENT 'files in the group',
    view STRING COMMENT 'dedup --augment: how one of the two was seen when they met, such as mirror or centre',
    inliers INT COMMENT 'dedup --augment: places of both that one similarity explains; 0: the whole pictures agree',
    agreement FLOAT COMMENT 'dedup --augment: correlation of both, laid over one another, median of blocks; -1..1'
    """,
    key=("path",),
    job="dedup",
)

LEAKS = TableSpec(
    "leaks",
    """
    path STRING NOT NULL,
    image_id STRING NOT NULL,
    other_path STRING,
    other_id STRING NOT NULL COMMENT 'image_id in the other warehouse',
    other_warehouse STRING NOT NULL,
    kind STRING NOT NULL COMMENT 'copy (same bytes) or near',
    score FLOAT NOT NULL COMMENT 'cosine'
    """,
    key=("path", "other_warehouse", "other_id"),
    job="dedup",
)

#: Begin the names of the metrics that ``compress --labels`` measured, and of those that ``label`` did; the others are
#: ``evaluate``'s and ``search``'s.
PROJECTION_METRICS, CONFIDENCE_METRICS = "projection_", "confidence_"

METRICS = TableSpec(
    "metrics",
    """
    metric STRING NOT NULL,
    k INT COMMENT 'null for metrics without a cut; of confidence_*: tenth of the confidence, from 1',
    value DOUBLE NOT NULL,
    error DOUBLE COMMENT 'standard error, where the queries are a sample'
    """,
    key=("metric", "k"),
    job="evaluate",
)

RUNS = TableSpec(
    "runs",
    """
    run_id STRING NOT NULL,
    job STRING NOT NULL,
    started_at TIMESTAMP NOT NULL,
    seconds DOUBLE NOT NULL,
    rows_in BIGINT NOT NULL,
    rows_out BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    rows_per_second DOUBLE,
    versions_read MAP<STRING, BIGINT> COMMENT 'Delta version of each table it read',
    versions_written MAP<STRING, BIGINT> COMMENT 'Delta version of each table it wrote',
    details MAP<STRING, STRING> COMMENT 'settings and results of that job',
    format_version INT COMMENT 'the form of the tables it wrote; null before there was a second one'
    """,
    key=("run_id",),
    job="any",
)

ALL_TABLES = (
    IMAGES, CONTENTS, THUMBNAILS, QUARANTINE, ENCODERS, EMBEDDINGS, REGIONS, PROJECTIONS, VECTORS, REGION_VECTORS,
    NEIGHBOURS, CLUSTERS, MEMBERS, CLUSTER_EVENTS, CLUSTER_CURVE, DRIFT, MAP_POINTS, LABELS, IMAGE_LABELS, CONFLICTS,
    LABEL_NEXT, SEARCHES, MATCHES, GROUP_MATCHES, CALIBRATIONS, DUPLICATES, LEAKS, METRICS, RUNS,
)  # fmt: skip
