"""Writing the star: each table as Delta and as Parquet, with its comments, and the statements beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.owned import folder_at
from imgsearch.lake.package import code_id
from imgsearch.lake.rows import typed
from imgsearch.report.star_sources import SOURCES_FILE, fingerprint
from imgsearch.report.star_statements import duckdb_tables, spark_tables, views
from imgsearch.report.star_table import StarTable
from imgsearch.report.star_tables import STAR

AT_ONCE = 4  # tables written side by side: most of a small table's time is Spark's own, between its tasks
#: No statistics of columns: they cost more than writing a small table, and no order of rows makes use of them.
NO_STATISTICS = ("delta.dataSkippingNumIndexedCols", "0")
BY_NAME = {spec.name: spec for spec in STAR}
CARRIED = "carried from the input: of its folders called key=value, or of its table"


class StarFolder:
    """The folder of an export, ``out``: a path or URI. Tables go to ``delta/NAME`` and ``parquet/NAME`` in it.

    A table whose sources are those of the last whole export under the same ``settings`` is left as it is.
    """

    def __init__(self, spark: SparkSession, out: str, settings: str = "") -> None:
        self.spark = spark
        self.out = out
        self.settings = f"{code_id()} {settings}"
        self.unchanged: list[str] = []
        folder = folder_at(spark, out)
        self._before = _read_sources(folder.read(SOURCES_FILE), self._present())
        self._sources: dict[str, str] = {}
        folder.remove(SOURCES_FILE)

    def write_all(
        self, frames: Mapping[str, DataFrame], driver_rows: Mapping[str, str] | None = None
    ) -> dict[str, DataFrame]:
        """``write`` for several tables, side by side."""
        rows = [(driver_rows or {}).get(name) for name in frames]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(frames, pool.map(self.write, frames, frames.values(), rows), strict=True))

    def write(self, name: str, frame: DataFrame, driver_rows: str | None = None) -> DataFrame:
        """Write one table of the star in both formats, in place of what was there; the table as it stands then.

        ``frame`` is computed once, for Parquet; the Delta table is made of these files, and so is what comes after it.
        ``driver_rows``: a fingerprint of what the driver put into it.
        """
        spec = BY_NAME[name]
        files = f"{self.out}/parquet/{name}"
        rows = star_typed(spec, frame)
        source = fingerprint(rows, self.settings, driver_rows)
        if source is not None:
            self._sources[name] = source
            if self._before.get(name) == source:
                self.unchanged.append(name)
                return self.spark.read.schema(rows.schema).parquet(files)
        rows.hint("rebalance").write.mode("overwrite").parquet(files)
        written = self.spark.read.schema(rows.schema).parquet(files)
        table = written.writeTo(f"delta.{quoted_part(f'{self.out}/delta/{name}')}").using("delta")
        table.tableProperty(*NO_STATISTICS).tableProperty("comment", spec.about).createOrReplace()
        return written

    def finish(self) -> None:
        """Note what the tables were made of: after the last of them."""
        folder_at(self.spark, self.out).write(SOURCES_FILE, json.dumps(self._sources, indent=1).encode())

    def _present(self) -> set[str]:
        """Tables that are there in both formats."""
        names = [set(folder_at(self.spark, f"{self.out}/{part}").names()) for part in ("delta", "parquet")]
        return names[0] & names[1]

    def remove_others(self) -> None:
        """Remove tables that an earlier version's export wrote there under other names."""
        for part in ("delta", "parquet"):
            folder = folder_at(self.spark, f"{self.out}/{part}")
            for other in sorted(set(folder.names()) - set(BY_NAME)):
                folder.remove(other)

    def write_statements(self, carried: Iterable[str]) -> None:
        """Write ``sql/``: the tables for DuckDB and for Spark, and the views. ``carried``: columns of the input."""
        names = sorted(BY_NAME)
        folder = folder_at(self.spark, f"{self.out}/sql")
        folder.write("tables_duckdb.sql", duckdb_tables(names).encode())
        folder.write("tables_spark.sql", spark_tables(names, self.out).encode())
        folder.write("views.sql", views(carried).encode())


def _read_sources(text: bytes | None, present: set[str]) -> dict[str, str]:
    """The fingerprints of the last export, of the tables that are still there; none where they cannot be read."""
    try:
        noted = json.loads(text or b"{}")
    except ValueError:
        return {}
    return {name: source for name, source in noted.items() if name in present} if isinstance(noted, dict) else {}


def star_typed(spec: StarTable, frame: DataFrame) -> DataFrame:
    """``frame`` with the types, order and comments of ``spec``; of an open table, carried columns get a comment too."""
    rows = typed(spec, frame)
    others = [c for c in rows.columns if c not in spec.columns]
    return rows.select(*spec.columns, *[F.col(quoted_part(c)).alias(c, metadata={"comment": CARRIED}) for c in others])
