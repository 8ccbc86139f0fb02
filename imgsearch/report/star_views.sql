-- Views on the star that `export` writes. Run tables_duckdb.sql or tables_spark.sql first. Any engine that has the
-- tables under these names will do. In this warehouse the site is the column $site, the equipment is $equipment, the
-- camera is $camera (source and exif_camera, where the input brought no such column): put in others where you know better.

-- Images per cluster and site over time.
CREATE OR REPLACE VIEW bi_images_by_cluster_and_site AS
SELECT
    d.month_start,
    f.$site AS site,
    f.cluster_id,
    c.label AS cluster_label,
    COUNT(*) AS n_files,
    COUNT(DISTINCT f.image_id) AS n_images
FROM fact_image f
LEFT JOIN dim_date d ON d.date = f.image_date
LEFT JOIN dim_cluster c ON c.cluster_id = f.cluster_id
GROUP BY d.month_start, f.$site, f.cluster_id, c.label;

-- Clusters that appeared since Monday.
CREATE OR REPLACE VIEW bi_new_clusters_this_week AS
SELECT c.cluster_id, c.label, c.size, c.cohesion, c.medoid_id, c.medoid_path, c.first_seen_date
FROM dim_cluster c
WHERE c.is_current AND c.first_seen_date >= date_trunc('week', CURRENT_DATE);

-- Images that their cluster does not explain, the farthest first.
CREATE OR REPLACE VIEW bi_outliers AS
SELECT
    i.image_id,
    i.path,
    i.$site AS site,
    m.cluster_id,
    c.label AS cluster_label,
    m.score,
    c.outlier_threshold,
    c.outlier_threshold - m.score AS below_threshold
FROM fact_member m
JOIN dim_image i ON i.image_id = m.image_id
JOIN dim_cluster c ON c.cluster_id = m.cluster_id
WHERE m.is_outlier AND i.is_present
ORDER BY below_threshold DESC, i.image_id;

-- The share of files without a label, by site.
CREATE OR REPLACE VIEW bi_unlabelled_share AS
SELECT
    f.$site AS site,
    COUNT(*) AS n_files,
    COUNT(*) - COUNT(f.label) AS n_unlabelled,
    CAST(COUNT(*) - COUNT(f.label) AS DOUBLE) / COUNT(*) AS unlabelled_share
FROM fact_image f
GROUP BY f.$site;

-- Copies and near-copies by source, and the bytes that all but one file of each group take.
CREATE OR REPLACE VIEW bi_duplicates_by_source AS
SELECT
    u.source,
    COUNT(*) AS n_files,
    COUNT(DISTINCT u.representative_id) AS n_groups,
    SUM(CASE WHEN u.kind = 'copy' THEN 1 ELSE 0 END) AS n_copies,
    SUM(CASE WHEN u.kind IN ('near', 'edited') THEN 1 ELSE 0 END) AS n_near_copies,
    SUM(CASE WHEN u.kind = 'representative' THEN 0 ELSE u.n_bytes END) AS spare_bytes
FROM fact_duplicate u
GROUP BY u.source;

-- Which equipment looks like each query: by its best match, then by how many there are.
CREATE OR REPLACE VIEW bi_equipment_alike AS
SELECT
    g.query_id,
    g.query_path,
    g.equipment,
    g.n_matches,
    g.best_score,
    g.mean_score,
    ROW_NUMBER() OVER (
        PARTITION BY g.query_id ORDER BY g.best_score DESC, g.n_matches DESC, g.equipment
    ) AS place
FROM (
    SELECT
        m.query_id,
        m.query_path,
        i.$equipment AS equipment,
        COUNT(*) AS n_matches,
        MAX(m.score) AS best_score,
        AVG(m.score) AS mean_score
    FROM fact_match m
    JOIN dim_image i ON i.image_id = m.image_id
    GROUP BY m.query_id, m.query_path, i.$equipment
) g;

-- Mean quality of the pictures of each camera by month, and its change since the month before that has any.
CREATE OR REPLACE VIEW bi_quality_by_camera AS
SELECT
    q.*,
    q.sharpness - LAG(q.sharpness) OVER (PARTITION BY q.camera ORDER BY q.month_start) AS sharpness_change,
    q.brightness - LAG(q.brightness) OVER (PARTITION BY q.camera ORDER BY q.month_start) AS brightness_change
FROM (
    SELECT
        f.$camera AS camera,
        d.month_start,
        COUNT(*) AS n_files,
        AVG(i.sharpness) AS sharpness,
        AVG(i.brightness) AS brightness,
        AVG(i.contrast) AS contrast,
        AVG(i.entropy) AS entropy
    FROM fact_image f
    JOIN dim_image i ON i.image_id = f.image_id
    LEFT JOIN dim_date d ON d.date = f.image_date
    GROUP BY f.$camera, d.month_start
) q;

-- Labels below a confidence, the least confident first. Put in the confidence that you need for 0.8.
CREATE OR REPLACE VIEW bi_labels_below_confidence AS
SELECT l.path, l.image_id, f.$site AS site, l.label, l.confidence, l.origin
FROM fact_label l
JOIN fact_image f ON f.path = l.path
WHERE l.confidence < 0.8
ORDER BY l.confidence, l.path;

-- Files that could not be used, by site and reason.
CREATE OR REPLACE VIEW bi_refused_by_site AS
SELECT r.$site AS site, r.stage, r.reason, COUNT(*) AS n_files
FROM fact_quarantine r
GROUP BY r.$site, r.stage, r.reason;
