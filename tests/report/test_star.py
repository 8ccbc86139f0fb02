"""The star that ``export`` writes, read by DuckDB, delta-rs, pandas and Spark SQL: keys, comments, each view."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import duckdb_extension_delta
import numpy as np
import pandas as pd
import pyspark
import pytest
from deltalake import DeltaTable
from pyhive import hive
from pyspark.sql import SparkSession
from support.processes import Daemon, free_port, is_open
from support.star import FIRST_FIT, GONE_CLUSTER, GONE_ID, NEW_CLUSTER, StarWarehouse, make_star_warehouse

from imgsearch.config import ExportConfig
from imgsearch.lake.settings import DELTA_EXTENSION, delta_jars
from imgsearch.report import export
from imgsearch.report.star_table import StarTable
from imgsearch.report.star_tables import STAR
from imgsearch.tables import IMAGE_LABELS

FLAT = {"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "FLOAT", "INTEGER", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "VARCHAR"}


class Star(NamedTuple):
    """The export's folder, what it was made of, and DuckDB on its Parquet files with the views."""

    out: Path
    made: StarWarehouse
    db: duckdb.DuckDBPyConnection

    def rows(self, table: str) -> pd.DataFrame:
        return self.db.sql(f"SELECT * FROM {table}").df()


@pytest.fixture(scope="module")
def star(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path], tiny: str
) -> Iterator[Star]:
    folder = tmp_path_factory.mktemp("star")
    made = make_star_warehouse(folder / "made", draw, tiny)
    out = folder / "bi o'clock"
    (out / "delta" / "image_path").mkdir(parents=True)  # of an earlier version
    (out / export.MARKER).touch()
    export.run(spark, ExportConfig(warehouse=made.location, output=str(out), map_points=20))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        db = duckdb.connect()
        for name in ("tables_duckdb.sql", "views.sql"):
            db.execute((out / "sql" / name).read_text())
        yield Star(out, made, db)
        db.close()


@pytest.mark.parametrize("spec", STAR, ids=lambda spec: spec.name)
def test_a_table_has_rows_a_key_and_only_flat_columns_with_comments(star: Star, spec: StarTable) -> None:
    frame = star.rows(spec.name)
    assert len(frame)
    assert not frame.duplicated(list(spec.key)).any()
    assert {row[1] for row in star.db.sql(f"DESCRIBE {spec.name}").fetchall()} <= FLAT
    table = DeltaTable(str(star.out / "delta" / spec.name))
    assert table.to_pyarrow_table().num_rows == len(frame)
    assert table.metadata().description == spec.about
    assert [f.name for f in table.schema().fields] == list(frame.columns)
    assert all(f.metadata.get("comment") for f in table.schema().fields)
    assert (list(frame.columns) == list(spec.columns)) != spec.open


def test_a_thumbnail_that_embed_left_is_taken_as_it_is(star: Star) -> None:
    (left,) = star.made.rows["thumbnails"]
    uris = star.rows("dim_thumbnail").set_index("image_id")["data_uri"]
    assert base64.b64decode(uris[left["image_id"]].partition(",")[2]) == left["thumbnail"]
    others = uris.drop(left["image_id"])
    assert len(others) > 10
    assert all(base64.b64decode(uri.partition(",")[2]).startswith(b"\xff\xd8") for uri in others)  # decoded here
    assert (star.out / "report" / "thumbnails" / f"{left['image_id'][:24]}.jpg").read_bytes() == left["thumbnail"]


def test_the_report_has_metadata_findings_and_the_map_as_a_file(star: Star) -> None:
    """What the page shows beside the pictures comes from the tables: carried columns, strips, mixed labels."""
    text = (star.out / "report" / "index.html").read_text("utf-8")
    payload = json.loads(re.search(r'id="payload">(.*?)</script>', text)[1])  # type: ignore[index]
    images = star.rows("dim_image").set_index("image_id")
    site = next(iter(images["site"].dropna()))
    assert any(f"site={site}" in about for *_, about in payload["pictures"])
    assert f"site={site.lower()}" in text  # a cluster's values, which the filter finds
    assert "Worth a look" in text
    assert "Labels against clusters" in text
    atlas = pd.read_parquet(star.out / "report" / "atlas.parquet")
    assert set(atlas["image_id"]) == set(images.index[images["map_x"].notna()])
    assert list(atlas["path"]) == list(images.loc[atlas["image_id"], "path"])
    assert atlas["thumbnail"].notna().any()
    assert [len(found["ids"]) for found in atlas["neighbors"]] == [min(15, len(atlas) - 1)] * len(atlas)


@pytest.mark.parametrize("spec", STAR, ids=lambda spec: spec.name)
def test_every_key_joins(star: Star, spec: StarTable) -> None:
    dates = {row[0]: "dim_date" for row in star.db.sql(f"DESCRIBE {spec.name}").fetchall() if row[1] == "DATE"}
    keys = {other.name: other.key[0] for other in STAR}
    for column, target in {**dates, **spec.joins}.items():
        orphans = star.db.sql(
            f"SELECT COUNT(*) FROM {spec.name} f ANTI JOIN {target} d ON d.{keys[target]} = f.{column} "
            f"WHERE f.{column} IS NOT NULL"
        ).fetchall()
        assert orphans == [(0,)], f"{spec.name}.{column} -> {target}"


def test_the_same_statements_run_in_spark_sql(spark: SparkSession, star: Star) -> None:
    spark.sql("CREATE DATABASE star")
    spark.sql("USE star")
    try:
        for name in ("tables_spark.sql", "views.sql"):
            for statement in (star.out / "sql" / name).read_text().split(";")[:-1]:
                spark.sql(statement)
        views = [row.viewName for row in spark.sql("SHOW VIEWS").collect()]
        counts = " UNION ALL ".join(f"SELECT '{view}' AS view, COUNT(*) AS n FROM {view}" for view in views)
        assert len(views) == 9
        by_spark = {row["view"]: row["n"] for row in spark.sql(counts).collect()}
        assert by_spark == dict(star.db.sql(counts).fetchall())
    finally:
        spark.sql("USE default")
        spark.sql("DROP DATABASE star CASCADE")


def test_duckdb_reads_the_delta_tables(star: Star) -> None:
    extension = next(Path(duckdb_extension_delta.__path__[0]).rglob("delta.duckdb_extension"))
    with duckdb.connect() as db:
        db.load_extension(str(extension))
        for spec in STAR:
            place = str(star.out / "delta" / spec.name).replace("'", "''")
            here = db.sql(f"SELECT * FROM delta_scan('{place}')")
            assert len(here) == len(star.rows(spec.name)), spec.name
            assert {str(kind) for kind in here.types} <= FLAT


@pytest.mark.slow
def test_pyhive_reads_tables_and_views_of_a_thrift_server(star: Star, tmp_path: Path) -> None:
    """Spark's Thrift Server from the installed pyspark: what Power BI, Tableau and Superset speak with."""
    port = free_port()
    home = Path(pyspark.__path__[0])
    settings = {
        "spark.master": "local[1]", "spark.ui.enabled": "false", "spark.jars": ",".join(delta_jars()),
        "spark.sql.extensions": DELTA_EXTENSION, "spark.driver.host": "127.0.0.1",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }  # fmt: skip
    server = Daemon(
        [home / "bin" / "spark-submit", *(word for item in settings.items() for word in ("--conf", "=".join(item))),
         "--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "spark-internal",
         "--hiveconf", f"hive.server2.thrift.port={port}", "--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1"],
        tmp_path / "server.log", os.environ | {"SPARK_HOME": str(home)}, cwd=tmp_path,
    )  # fmt: skip
    try:
        server.wait_for(lambda: is_open(port))
        with hive.connect(host="127.0.0.1", port=port) as connection, connection.cursor() as cursor:
            for name in ("tables_spark.sql", "views.sql"):
                for statement in (star.out / "sql" / name).read_text().split(";")[:-1]:
                    cursor.execute(statement)
            cursor.execute("SHOW TABLES")
            names = {row[1] for row in cursor.fetchall()}
            assert names >= {spec.name for spec in STAR}
            assert len([name for name in names if name.startswith("bi_")]) == 9
            for name in sorted(names):
                cursor.execute(f"SELECT * FROM {name}")
                assert len(cursor.fetchall()) == len(star.rows(name)), name
            cursor.execute("SELECT path, CAST(image_date AS STRING), is_present FROM dim_image")
            images = star.db.sql("SELECT path, CAST(image_date AS VARCHAR), is_present FROM dim_image")
            assert set(cursor.fetchall()) == set(images.fetchall())
    finally:
        server.stop()


def test_what_has_left_has_a_row_in_its_dimension(star: Star) -> None:
    images = star.rows("dim_image").set_index("image_id")
    assert images.index[~images["is_present"]].tolist() == [GONE_ID]
    assert images.loc[GONE_ID, "path"] == "/left/gone.png"
    assert images["n_paths"].sum() == len(star.made.rows["images"])
    clusters = star.rows("dim_cluster").set_index("cluster_id")
    assert clusters.index[~clusters["is_current"]].tolist() == [GONE_CLUSTER]
    assert (
        clusters.loc[0, "first_seen_at"]
        == clusters.loc[3, "first_seen_at"]
        == pd.Timestamp(FIRST_FIT).tz_localize(None)
    )
    assert "image_path" not in {path.name for path in (star.out / "delta").iterdir()}


def test_text_that_is_a_date_becomes_one(star: Star) -> None:
    images = star.rows("fact_image")
    given = {image["path"]: image for image in star.made.rows["images"]}
    for row in images.to_dict("records"):
        image = given[row["path"]]
        day = pd.NaT if image["day"] is None else pd.Timestamp(f"{image['day']}-01")
        assert row["day"] is day or row["day"] == day
        modified = pd.Timestamp(image["modified_at"]).tz_localize(None).normalize()
        assert row["image_date"] == (modified if day is pd.NaT else day)
        assert row["note"] == image["note"]  # not a date in every row
        assert row["meta_is_present"] == "yes"


def test_a_refused_file_has_its_site_its_source_and_its_encoder(star: Star, tiny: str) -> None:
    rows = star.rows("fact_quarantine").astype(object).where(lambda frame: frame.notna(), None)
    pictures = star.made.rows["images"][0]["source"]
    seen = {Path(r["path"]).name: (r["site"], r["source"], r["encoder"]) for r in rows.to_dict("records")}
    refused = star.made.rows["images"][2]
    assert seen == {
        "x.jpg": ("North A", pictures, None),
        "y.jpg": ("B", pictures, None),
        "z.jpg": (None, pictures, None),
        Path(refused["path"]).name: (refused["site"], refused["source"], tiny),
        "query.jpg": (None, None, tiny),
    }
    assert rows.set_index("path").loc[refused["path"], "image_id"] == refused["image_id"]
    assert rows["image_id"].notna().sum() == 1
    dated = rows[rows["site"] == "North A"]
    assert pd.Timestamp(dated["day"].iloc[0]) == pd.Timestamp("2024-11-01")


def test_a_label_that_was_not_given_has_no_confidence(star: Star) -> None:
    labels = star.rows("fact_label")
    given = pd.DataFrame(star.made.rows["image_labels"]).set_index("path")
    assert set(labels["path"]) == set(given.index)
    assert labels["confidence"].isna().tolist() == (labels["origin"] == "none").tolist()
    named = labels[labels["label"].notna()]
    assert np.allclose(named["confidence"], given.loc[named["path"], "confidence"])


def test_a_thumbnail_is_a_picture_in_a_text(star: Star) -> None:
    thumbnails = star.rows("dim_thumbnail")
    medoids = {row["medoid_id"] for row in star.made.rows["clusters"]}
    assert medoids <= set(thumbnails["image_id"]) <= set(star.rows("dim_image")["image_id"])
    assert thumbnails["data_uri"].str.startswith("data:image/jpeg;base64,/9j/").all()
    assert thumbnails["data_uri"].str.len().max() <= 32_766


def test_the_calendar_has_no_gaps(star: Star) -> None:
    days = star.rows("dim_date").sort_values("date").reset_index(drop=True)
    assert (days["date"].diff().dropna() == pd.Timedelta(days=1)).all()
    assert days["date"].iloc[0] == pd.Timestamp("2024-01-01")
    row = days[days["date"] == pd.Timestamp("2026-03-04")].iloc[0]
    assert (row["week"], row["weekday"], row["weekday_name"], row["month_name"]) == (10, 3, "Wednesday", "March")
    assert row["week_start"] == pd.Timestamp("2026-03-02")
    assert not row["is_weekend"]


def month(image: dict[str, Any]) -> str:
    return image["day"] or f"{image['modified_at']:%Y-%m}"


def as_month(value: pd.Timestamp) -> str:
    return f"{value:%Y-%m}"


def test_images_by_cluster_and_site(star: Star) -> None:
    members = {row["image_id"]: row["cluster_id"] for row in star.made.rows["members"]}
    files = Counter((month(i), i["site"], members[i["image_id"]]) for i in star.made.rows["images"])
    view = star.rows("bi_images_by_cluster_and_site")
    keys = zip(view["month_start"].map(as_month), view["site"], view["cluster_id"], strict=True)
    assert dict(zip(keys, view["n_files"], strict=True)) == files


def test_new_clusters_this_week(star: Star) -> None:
    assert star.rows("bi_new_clusters_this_week")["cluster_id"].tolist() == [NEW_CLUSTER]


def test_outliers(star: Star) -> None:
    outliers = [row for row in star.made.rows["members"] if row["is_outlier"]]
    farthest = sorted(outliers, key=lambda row: (row["score"], row["image_id"]))
    view = star.rows("bi_outliers")
    assert view["image_id"].tolist() == [row["image_id"] for row in farthest]
    assert np.allclose(view["below_threshold"], [0.85 - row["score"] for row in farthest], atol=1e-6)


def test_unlabelled_share(star: Star) -> None:
    labels = {row["path"]: row["label"] for row in star.made.rows["image_labels"]}
    unlabelled: dict[str, list[bool]] = defaultdict(list)
    for image in star.made.rows["images"]:
        unlabelled[image["site"]].append(labels.get(image["path"]) is None)
    view = star.rows("bi_unlabelled_share").set_index("site")["unlabelled_share"]
    assert view.to_dict() == {site: pytest.approx(np.mean(each)) for site, each in unlabelled.items()}


def test_duplicates_by_source(star: Star) -> None:
    frame = pd.DataFrame(star.made.rows["duplicates"]).merge(
        pd.DataFrame(star.made.rows["images"])[["path", "source", "n_bytes"]], on="path"
    )
    view = star.rows("bi_duplicates_by_source").set_index("source")
    assert set(view.index) == set(frame["source"])
    for source, rows in frame.groupby("source"):
        spare = rows[rows["kind"] != "representative"]
        assert view.loc[source].to_dict() == {
            "n_files": len(rows),
            "n_groups": rows["representative_id"].nunique(),
            "n_copies": (rows["kind"] == "copy").sum(),
            "n_near_copies": (rows["kind"] == "near").sum(),
            "spare_bytes": spare["n_bytes"].sum(),
        }


def test_equipment_alike(star: Star) -> None:
    first = {}
    for image in sorted(star.made.rows["images"], key=lambda image: image["path"]):
        first.setdefault(image["image_id"], image["equipment_id"])
    scores: dict[str, dict[str | None, list[float]]] = defaultdict(lambda: defaultdict(list))
    for match in star.made.rows["matches"]:
        scores[match["query_id"]][first.get(match["image_id"])].append(match["score"])
    view = star.rows("bi_equipment_alike").astype(object).where(lambda frame: frame.notna(), None)
    for query, groups in scores.items():
        best = sorted(groups, key=lambda group: -max(groups[group]))
        rows = view[view["query_id"] == query].sort_values("place")
        assert rows["equipment"].tolist() == best
        assert rows["n_matches"].tolist() == [len(groups[group]) for group in best]
        assert np.allclose(rows["mean_score"].astype(float), [np.mean(groups[group]) for group in best], atol=1e-6)


def test_quality_by_camera(star: Star) -> None:
    quality = {row["image_id"]: row["sharpness"] for row in star.made.rows["embeddings"]}
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for image in star.made.rows["images"]:
        values[image["camera"]][month(image)].append(quality[image["image_id"]])
    view = star.rows("bi_quality_by_camera")
    for camera, months in values.items():
        rows = view[view["camera"] == camera].sort_values("month_start")
        assert rows["month_start"].map(as_month).tolist() == sorted(months)
        means = [np.mean(months[each]) for each in sorted(months)]
        assert np.allclose(rows["sharpness"], means, atol=1e-6)
        assert np.allclose(rows["sharpness_change"].iloc[1:], np.diff(means), atol=1e-6)
        assert rows["sharpness_change"].isna().tolist() == [True] + [False] * (len(rows) - 1)


def test_labels_below_a_confidence(star: Star) -> None:
    below = {r["path"] for r in star.made.rows["image_labels"] if r["origin"] != "none" and r["confidence"] < 0.8}
    view = star.rows("bi_labels_below_confidence")
    assert view["confidence"].is_monotonic_increasing
    assert len(view) == len(below) > 0
    assert set(view["path"]) == below


def test_refused_by_site(star: Star) -> None:
    view = star.rows("bi_refused_by_site")
    assert view["n_files"].sum() == len(star.made.rows["quarantine"])
    assert view[view["site"] == "B"]["n_files"].sum() >= 1
    assert date.today() >= star.rows("fact_quarantine")["quarantined_date"].max().date()


def test_what_has_not_changed_is_left_as_it_is(spark: SparkSession, star: Star) -> None:
    """The same again rewrites only what holds this run; new labels rewrite what is made of labels."""
    config = ExportConfig(warehouse=star.made.location, output=str(star.out), map_points=20)

    def versions() -> dict[str, int]:
        return {spec.name: DeltaTable(str(star.out / "delta" / spec.name)).version() for spec in STAR}

    def rewritten() -> set[str]:
        before = versions()
        summary = export.run(spark, config)
        after = versions()
        changed = {name for name in after if after[name] != before[name]}
        assert int(summary.details["unchanged"]) == len(STAR) - len(changed)
        return changed

    frames = {spec.name: star.rows(spec.name) for spec in STAR if spec.name != "dim_run"}
    assert rewritten() == {"dim_run", "dim_date", "dim_thumbnail"}
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(star.rows(name), frame)
    labels = Path(star.made.location, IMAGE_LABELS.name)
    assert DeltaTable(str(labels)).delete("label = 'kind 0'")["num_deleted_rows"] > 0
    shutil.rmtree(star.out / "parquet" / "fact_match")
    changed = rewritten()
    assert changed >= {"fact_label", "dim_label", "fact_image", "dim_image", "fact_match"}
    assert not changed & {"fact_member", "fact_duplicate", "fact_quarantine", "fact_drift"}
    assert "kind 0" not in star.rows("dim_label")["label"].tolist()
