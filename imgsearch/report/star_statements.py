"""SQL beside the export: the tables for DuckDB and Spark, and views that answer an analyst's questions.

The views stand in ``star_views.sql``. They use no function that only one engine has. What differs between warehouses
is which carried column is the site, the equipment and the camera: it is chosen by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from string import Template

#: Names of carried columns, best first, for each word of the views; ``OTHERWISE`` stands for what there is none of.
ROLES = {
    "site": ("site", "site_id", "plant", "location", "facility", "area", "werk", "standort"),
    "equipment": ("equipment_id", "equipment", "asset_id", "asset", "machine_id", "machine", "equipment_type", "tag"),
    "camera": ("camera_id", "camera", "camera_model", "device_id", "device"),
}
OTHERWISE = {"site": "source", "equipment": "source", "camera": "exif_camera"}


def roles(carried: Iterable[str]) -> dict[str, str]:
    """For each word of the views the column that it is.

    >>> roles(["Site", "equipment"])
    {'site': 'Site', 'equipment': 'equipment', 'camera': 'exif_camera'}
    """
    named = {name.casefold(): name for name in carried}
    return {
        role: next((named[name] for name in names if name in named), OTHERWISE[role]) for role, names in ROLES.items()
    }


def views(carried: Iterable[str]) -> str:
    """``views.sql`` for a warehouse whose images carry these columns."""
    text = files("imgsearch.report").joinpath("star_views.sql").read_text(encoding="utf-8")
    return Template(text).substitute(roles(carried))


def duckdb_tables(names: Iterable[str]) -> str:
    """A view for each table, on the Parquet files of the export.

    >>> print(duckdb_tables(["dim_date"]))
    -- Run in the folder of the export: duckdb star.duckdb ".read sql/tables_duckdb.sql" ".read sql/views.sql"
    CREATE OR REPLACE VIEW dim_date AS SELECT * FROM read_parquet('parquet/dim_date/*.parquet');
    <BLANKLINE>
    """
    first = '-- Run in the folder of the export: duckdb star.duckdb ".read sql/tables_duckdb.sql" ".read sql/views.sql"'
    lines = [f"CREATE OR REPLACE VIEW {n} AS SELECT * FROM read_parquet('parquet/{n}/*.parquet');" for n in names]  # noqa: S608
    return "\n".join([first, *lines, ""])


def spark_tables(names: Iterable[str], out: str) -> str:
    r"""A table for each, on the Delta tables of the export at ``out`` (a path or URI): Spark SQL, Thrift Server.

    >>> print(spark_tables(["dim_date"], "/mnt/bi/o'clock"))
    -- Run by Spark SQL that has delta-spark: spark-sql -f sql/tables_spark.sql, then -f sql/views.sql
    CREATE TABLE IF NOT EXISTS dim_date USING DELTA LOCATION '/mnt/bi/o\'clock/delta/dim_date';
    <BLANKLINE>
    """
    place = out.replace("\\", "\\\\").replace("'", "\\'")
    first = "-- Run by Spark SQL that has delta-spark: spark-sql -f sql/tables_spark.sql, then -f sql/views.sql"
    lines = [f"CREATE TABLE IF NOT EXISTS {n} USING DELTA LOCATION '{place}/delta/{n}';" for n in names]
    return "\n".join([first, *lines, ""])
