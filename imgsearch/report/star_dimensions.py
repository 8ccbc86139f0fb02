"""The dimensions of the star: columns with types and comments, key, joins."""

from __future__ import annotations

from imgsearch.report.star_table import CLUSTER, IMAGE, LABEL, star_table

DIM_IMAGE = star_table(
    "dim_image",
    "An image by its content: copies of one file are one row. Quality, cluster and label of it",
    """
    image_id STRING COMMENT 'sha-256 of the bytes, hex: the key',
    path STRING COMMENT 'the first of its paths',
    n_paths BIGINT COMMENT 'files with these bytes; 0 where none is left',
    is_present BOOLEAN COMMENT 'false: only older matches, duplicates, labels or clusters still name it',
    source STRING COMMENT 'the folder, glob or table it was ingested from',
    format STRING COMMENT 'JPEG, PNG, ...',
    width INT COMMENT 'pixels, upright',
    height INT COMMENT 'pixels, upright',
    n_pages INT COMMENT 'pictures in the file (TIFF), of which the first is used',
    n_bytes BIGINT COMMENT 'size of the file',
    image_date DATE COMMENT 'the date to count by: the first carried date, else taken, else modified, else ingested',
    modified_at TIMESTAMP COMMENT 'modification time of the file, where there is one',
    ingested_at TIMESTAMP COMMENT 'when it came into the warehouse',
    exif_time TIMESTAMP COMMENT 'when it was taken; the own clock of the camera, where it wrote no offset from UTC',
    exif_camera STRING COMMENT 'make and model of the camera',
    exif_lens STRING COMMENT 'model of the lens',
    exif_latitude DOUBLE COMMENT 'degrees, north is positive',
    exif_longitude DOUBLE COMMENT 'degrees, east is positive',
    exif_orientation INT COMMENT 'how the pixels are turned in the file, 1 (upright) to 8',
    sharpness FLOAT COMMENT 'variance of the Laplacian of the grey image at network size; low: blurred',
    brightness FLOAT COMMENT 'mean grey level, 0..1',
    contrast FLOAT COMMENT 'standard deviation of the grey level, 0..1',
    entropy FLOAT COMMENT 'Shannon entropy of the grey histogram, bits, 0..8',
    cluster_id INT COMMENT 'its cluster; null where it is in none',
    cluster_score FLOAT COMMENT 'cosine to the centroid of its cluster',
    is_outlier BOOLEAN COMMENT 'farther from the centroid than the rule of its cluster allows',
    label STRING COMMENT 'its label; null: none was given',
    label_confidence FLOAT COMMENT 'confidence of the label, 0..1; null without a label',
    label_origin STRING COMMENT 'person, cluster, vote, none',
    map_x DOUBLE COMMENT 'place on the map of the report, for the images on it; no unit',
    map_y DOUBLE COMMENT 'place on the map, upwards'
    """,
    "image_id",
    {"cluster_id": CLUSTER, "label": LABEL},
    carries=True,
)

DIM_CLUSTER = star_table(
    "dim_cluster",
    "A cluster of similar images; also those that a re-fit replaced",
    """
    cluster_id INT COMMENT 'the number of the cluster, which it keeps over re-fits: the key',
    is_current BOOLEAN COMMENT 'false: a re-fit replaced it; only the history names it',
    size BIGINT COMMENT 'distinct images in it',
    medoid_id STRING COMMENT 'image_id of the member nearest to the centroid',
    medoid_path STRING COMMENT 'path of the medoid',
    cohesion FLOAT COMMENT 'mean cosine of members to the centroid',
    silhouette FLOAT COMMENT 'mean simplified silhouette of its members, -1..1',
    nearest_cluster_id INT COMMENT 'the cluster with the most similar centroid',
    nearest_score FLOAT COMMENT 'cosine to its centroid',
    outlier_threshold FLOAT COMMENT 'the score below which a member is an outlier',
    metadata STRING COMMENT 'for each carried column its commonest value among the images of the fit, as JSON',
    label STRING COMMENT 'the label that most of its labelled members have',
    label_share DOUBLE COMMENT 'their share of the labelled members, 0..1',
    first_seen_at TIMESTAMP COMMENT 'the fit in which it appeared; null in warehouses without that history',
    first_seen_date DATE COMMENT 'the date of first_seen_at'
    """,
    "cluster_id",
    {"medoid_id": IMAGE, "nearest_cluster_id": CLUSTER, "label": LABEL},
)

DIM_LABEL = star_table(
    "dim_label",
    "A label, and how often it was given",
    """
    label STRING COMMENT 'the name: the key',
    n_images BIGINT COMMENT 'distinct images that have it',
    n_files BIGINT COMMENT 'files that have it',
    n_by_person BIGINT COMMENT 'files that a person named themselves',
    mean_confidence DOUBLE COMMENT 'mean confidence over the files that have it, 0..1'
    """,
    "label",
)

DIM_QUERY = star_table(
    "dim_query",
    "A query of the exported search",
    """
    query_id STRING COMMENT 'sha-256 of the bytes of the query, or the id that was given: the key',
    query_path STRING COMMENT 'where the query was found',
    search_id STRING COMMENT 'the search; null in warehouses of the first release',
    n_matches BIGINT COMMENT 'matches it has',
    best_score FLOAT COMMENT 'cosine of its best match'
    """,
    "query_id",
    {"search_id": "dim_search"},
)

DIM_SEARCH = star_table(
    "dim_search",
    "A search: its queries and settings, the measured recall",
    """
    search_id STRING COMMENT 'the name of the search: the key',
    started_at TIMESTAMP COMMENT 'when it began',
    started_date DATE COMMENT 'the date of started_at',
    seconds DOUBLE COMMENT 'how long it took',
    queries STRING COMMENT 'what --queries named',
    n_queries BIGINT COMMENT 'queries that were answered',
    n_matches BIGINT COMMENT 'matches in all',
    gallery BIGINT COMMENT 'images that were searched',
    top_k INT COMMENT 'matches a query, at most',
    encoder_id STRING COMMENT 'fingerprint of the network and its settings',
    projection_id STRING COMMENT 'fingerprint of the projection',
    nprobe INT COMMENT 'clusters that each query probed; null: all',
    recall DOUBLE COMMENT 'measured share of the true neighbours that was found; null where it was not measured',
    settings STRING COMMENT 'all settings of the search, as JSON',
    versions_read STRING COMMENT 'Delta version of each table it read, as JSON'
    """,
    "search_id",
)

DIM_RUN = star_table(
    "dim_run",
    "A run of a job: what it read, wrote and took",
    """
    run_id STRING COMMENT 'a random number: the key',
    job STRING COMMENT 'ingest, embed, ...',
    started_at TIMESTAMP COMMENT 'when it began',
    started_date DATE COMMENT 'the date of started_at',
    seconds DOUBLE COMMENT 'how long it took',
    rows_in BIGINT COMMENT 'rows that it read: rows_out + quarantined',
    rows_out BIGINT COMMENT 'rows that it could use',
    quarantined BIGINT COMMENT 'rows that it could not use',
    rows_per_second DOUBLE COMMENT 'rows_in a second',
    versions_read STRING COMMENT 'Delta version of each table it read, as JSON',
    versions_written STRING COMMENT 'Delta version of each table it wrote, as JSON',
    details STRING COMMENT 'settings and results of that job, as JSON',
    format_version INT COMMENT 'the form of the tables it wrote; null before there was a second one'
    """,
    "run_id",
)

DIM_DATE = star_table(
    "dim_date",
    "A calendar without gaps over the years of all dates of the star",
    """
    date DATE COMMENT 'the day: the key',
    year INT COMMENT 'the year',
    quarter INT COMMENT '1..4',
    month INT COMMENT '1..12',
    month_name STRING COMMENT 'January, ...',
    month_start DATE COMMENT 'the first day of the month: to group by months',
    week INT COMMENT 'week of the year by ISO 8601, 1..53',
    week_start DATE COMMENT 'the Monday of the week: to group by weeks',
    day INT COMMENT 'day of the month, 1..31',
    weekday INT COMMENT 'by ISO 8601: 1 is Monday, 7 is Sunday',
    weekday_name STRING COMMENT 'Monday, ...',
    is_weekend BOOLEAN COMMENT 'Saturday or Sunday'
    """,
    "date",
)

DIM_THUMBNAIL = star_table(
    "dim_thumbnail",
    "A thumbnail of each picture that the report shows: medoids, members, matches, queries, points of the map",
    """
    image_id STRING COMMENT 'the image_id of an image, or the query_id of a query: the key',
    data_uri STRING COMMENT 'a JPEG of at most 160 pixels as data:image/jpeg;base64,... of at most 32,766 characters'
    """,
    "image_id",
)
