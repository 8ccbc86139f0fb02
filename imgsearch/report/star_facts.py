"""The facts of the star: columns with types and comments, key, joins."""

from __future__ import annotations

from imgsearch.report.star_table import CLUSTER, IMAGE, LABEL, star_table

FACT_IMAGE = star_table(
    "fact_image",
    "A file: count these for images by site, source, cluster and date",
    """
    path STRING COMMENT 'where it was found: a URI, or the key of a table row; one row each',
    image_id STRING COMMENT 'the image; copies of one file share it',
    source STRING COMMENT 'the folder, glob or table it was ingested from',
    n_bytes BIGINT COMMENT 'size of the file',
    cluster_id INT COMMENT 'the cluster of the image; null where it is in none',
    is_outlier BOOLEAN COMMENT 'farther from the centroid than the rule of its cluster allows; null without a cluster',
    label STRING COMMENT 'the label of the file; null: none was given',
    image_date DATE COMMENT 'the date to count by: the first carried date, else taken, else modified, else ingested',
    modified_at TIMESTAMP COMMENT 'modification time of the file, where there is one',
    modified_date DATE COMMENT 'the date of modified_at',
    ingested_at TIMESTAMP COMMENT 'when it came into the warehouse',
    ingested_date DATE COMMENT 'the date of ingested_at',
    exif_time TIMESTAMP COMMENT 'when it was taken; the own clock of the camera, where it wrote no offset from UTC',
    exif_date DATE COMMENT 'the date of exif_time',
    exif_camera STRING COMMENT 'make and model of the camera'
    """,
    "path",
    {"image_id": IMAGE, "cluster_id": CLUSTER, "label": LABEL},
    carries=True,
)

FACT_MEMBER = star_table(
    "fact_member",
    "The place of an image in its cluster",
    """
    image_id STRING COMMENT 'the image: one row each',
    cluster_id INT COMMENT 'its cluster',
    score FLOAT COMMENT 'cosine to the centroid',
    rank INT COMMENT 'from 1, by score in the cluster',
    is_outlier BOOLEAN COMMENT 'farther from the centroid than the rule of its cluster allows',
    second_cluster_id INT COMMENT 'the best cluster but its own',
    margin FLOAT COMMENT 'score minus the cosine to the second-best centroid'
    """,
    "image_id",
    {"image_id": IMAGE, "cluster_id": CLUSTER, "second_cluster_id": CLUSTER},
)

FACT_MATCH = star_table(
    "fact_match",
    "A match of a query in the exported search",
    """
    search_id STRING COMMENT 'the search; null in warehouses of the first release',
    query_id STRING COMMENT 'the query',
    query_path STRING COMMENT 'where the query was found',
    rank INT COMMENT 'from 1',
    image_id STRING COMMENT 'the image that was found',
    path STRING COMMENT 'the first of its paths then',
    score FLOAT COMMENT 'cosine, higher is better',
    is_match BOOLEAN COMMENT 'the score reaches the calibrated threshold; null without one',
    region_x FLOAT COMMENT 'left edge of the part of the image that has the score, as a share; null: the whole image',
    region_y FLOAT COMMENT 'its upper edge',
    region_w FLOAT COMMENT 'its width',
    region_h FLOAT COMMENT 'its height'
    """,
    "query_id rank",
    {"search_id": "dim_search", "query_id": "dim_query", "image_id": IMAGE},
)

FACT_LABEL = star_table(
    "fact_label",
    "The label of a file, as the last run of label gave it",
    """
    path STRING COMMENT 'the file: one row each, as in fact_image',
    image_id STRING COMMENT 'the image',
    source STRING COMMENT 'the folder, glob or table it was ingested from',
    image_date DATE COMMENT 'the date of the image, as in fact_image',
    label STRING COMMENT 'null where the vote abstained',
    confidence FLOAT COMMENT 'confidence of the label, 0..1; null without a label',
    origin STRING COMMENT 'person (named itself), cluster (its cluster was), vote (named neighbours), none'
    """,
    "path",
    {"path": "fact_image", "image_id": IMAGE, "label": LABEL},
)

FACT_DUPLICATE = star_table(
    "fact_duplicate",
    "A file that has copies or near-copies, as the last run of dedup found them",
    """
    path STRING COMMENT 'the file: one row each, as in fact_image',
    image_id STRING COMMENT 'the image',
    source STRING COMMENT 'the folder, glob or table it was ingested from',
    image_date DATE COMMENT 'the date of the image, as in fact_image',
    n_bytes BIGINT COMMENT 'size of the file',
    representative_id STRING COMMENT 'image_id that stands for the group; it names the group',
    representative_path STRING COMMENT 'a path of the representative',
    kind STRING COMMENT 'representative, copy (same bytes), near, edited (the same pixels, edited)',
    score FLOAT COMMENT 'cosine to the representative',
    group_size BIGINT COMMENT 'files in the group'
    """,
    "path",
    {"path": "fact_image", "image_id": IMAGE, "representative_id": IMAGE},
)

FACT_QUARANTINE = star_table(
    "fact_quarantine",
    "A file that could not be used, and why",
    """
    path STRING COMMENT 'the file, or the query',
    stage STRING COMMENT 'ingest, embed, compress or search',
    encoder STRING COMMENT 'the encoder that could not use it; null at ingest',
    reason STRING COMMENT 'a short word to group by',
    detail STRING COMMENT 'the sentence for people',
    image_id STRING COMMENT 'the image, where the file is among the images; null else',
    content_hash STRING COMMENT 'sha-256 of the bytes; null where they could not be read',
    source STRING COMMENT 'the input it was found in; null where that input brought no image, and for queries',
    n_bytes BIGINT COMMENT 'size of the file, where it was noted',
    quarantined_at TIMESTAMP COMMENT 'when it was refused',
    quarantined_date DATE COMMENT 'the date of quarantined_at'
    """,
    "path stage encoder",
    {"image_id": IMAGE},
    carries=True,
)

FACT_METRIC = star_table(
    "fact_metric",
    "A figure of the last evaluation, or of the last projection learned from names",
    """
    metric STRING COMMENT 'the name of the figure',
    k INT COMMENT 'the cut; null for metrics without one',
    value DOUBLE COMMENT 'the figure',
    error DOUBLE COMMENT 'standard error, where the queries are a sample'
    """,
    "metric k",
)

FACT_CLUSTER_EVENT = star_table(
    "fact_cluster_event",
    "The history of clusters: what each re-fit did, a row a pair of clusters where two are concerned",
    """
    fitted_at TIMESTAMP COMMENT 'when the re-fit was',
    fitted_date DATE COMMENT 'the date of fitted_at',
    event STRING COMMENT 'kept, new, gone, split or merge',
    cluster_id INT COMMENT 'the cluster it happened to: old for gone and split, else new',
    other_cluster_id INT COMMENT 'split: a cluster that holds a part of it; merge: an old one it came from',
    images BIGINT COMMENT 'kept and new: images in both'
    """,
    "fitted_at event cluster_id other_cluster_id",
    {"cluster_id": CLUSTER, "other_cluster_id": CLUSTER},
)

FACT_DRIFT = star_table(
    "fact_drift",
    "The history of drift: what each run of cluster measured of its images",
    """
    measured_at TIMESTAMP COMMENT 'when it was measured',
    measured_date DATE COMMENT 'the date of measured_at',
    is_current BOOLEAN COMMENT 'false: of an earlier projection of the encoder',
    event STRING COMMENT 'fit (the level to expect of new images) or assign (that of images assigned then)',
    images BIGINT COMMENT 'images it was measured on',
    outlier_share DOUBLE COMMENT 'share of outliers among them, 0..1',
    mean_score DOUBLE COMMENT 'mean cosine to the own centroid',
    score_deviation DOUBLE COMMENT 'standard deviation of those cosines',
    outlier_change DOUBLE COMMENT 'outlier_share of the images since the fit, minus that of the fit',
    score_change DOUBLE COMMENT 'the same of mean_score',
    refit_due BOOLEAN COMMENT 'a re-fit is due',
    reason STRING COMMENT 'why it is due'
    """,
    "measured_at",
)
