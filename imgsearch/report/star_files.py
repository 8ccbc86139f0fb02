"""Writing the star: each table as Delta and as Parquet, with its comments, and the statements beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.owned import folder_at
from imgsearch.lake.rows import typed
from imgsearch.report.star_statements import duckdb_tables, spark_tables, views
from imgsearch.report.star_table import StarTable
from imgsearch.report.star_tables import STAR

AT_ONCE = 4  # tables written side by side: most of a small table's time is Spark's own, between its tasks
#: No statistics of columns: they cost more than writing a small table, and no order of rows makes use of them.
NO_STATISTICS = ("delta.dataSkippingNumIndexedCols", "0")
BY_NAME = {spec.name: spec for spec in STAR}
CARRIED = "carried from the input: of its folders called key=value, or of its table"


class StarFolder:
    """The folder of an export, ``out``: a path or URI. Tables go to ``delta/NAME`` and ``parquet/NAME`` in it."""

    def __init__(self, spark: SparkSession, out: str) -> None:
        self.spark = spark
        self.out = out

    def write_all(self, frames: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
        """``write`` for several tables, side by side."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(frames, pool.map(self.write, frames, frames.values()), strict=True))

    def write(self, name: str, frame: DataFrame) -> DataFrame:
        """Write one table of the star in both formats, in place of what was there; the table as it was written.

        ``frame`` is computed once, for Parquet; the Delta table is made of these files, and so is what comes after it.
        """
        spec = BY_NAME[name]
        files = f"{self.out}/parquet/{name}"
        rows = star_typed(spec, frame)
        rows.hint("rebalance").write.mode("overwrite").parquet(files)
        written = self.spark.read.schema(rows.schema).parquet(files)
        table = written.writeTo(f"delta.{quoted_part(f'{self.out}/delta/{name}')}").using("delta")
        table.tableProperty(*NO_STATISTICS).tableProperty("comment", spec.about).createOrReplace()
        return written

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


def star_typed(spec: StarTable, frame: DataFrame) -> DataFrame:
    """``frame`` with the types, order and comments of ``spec``; of an open table, carried columns get a comment too."""
    rows = typed(spec, frame)
    others = [c for c in rows.columns if c not in spec.columns]
    return rows.select(*spec.columns, *[F.col(quoted_part(c)).alias(c, metadata={"comment": CARRIED}) for c in others])
