"""The warehouse: Delta tables under a path or a catalog's schema, read and written by their ``TableSpec``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from pathlib import Path
from typing import cast

from delta.tables import DeltaTable
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from imgsearch.errors import UserError
from imgsearch.tables import TableSpec

CATALOG_NAME = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")


@dataclass
class TableStore:
    """One warehouse, and what this run has read from it and written to it (for ``runs``)."""

    spark: SparkSession
    location: str
    is_catalog: bool
    versions_read: dict[str, int] = field(default_factory=dict)
    versions_written: dict[str, int] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, spark: SparkSession, location: str, create: bool = False) -> TableStore:
        """The warehouse at ``location``: ``catalog.schema``, or else a path.

        Raises ``UserError`` where there is none and ``create`` is false.
        """
        is_catalog = bool(CATALOG_NAME.match(location)) and not Path(location).exists()
        if is_catalog:
            if create:
                _refuse_unknown_catalog(spark, location)
                spark.sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(location)}")
            elif not _schema_exists(spark, location):
                raise UserError(f"--warehouse {location}: no such schema; run `./spark-submit.sh ingest` to make it")
            return cls(spark, location, True)
        resolved = absolute(location)
        if not create and not _path_exists(spark, resolved):
            raise UserError(f"--warehouse {location}: no such folder; run `./spark-submit.sh ingest` to make it")
        return cls(spark, resolved, False)

    def name(self, spec: TableSpec) -> str:
        """The table as SQL names it."""
        if self.is_catalog:
            return quoted(f"{self.location}.{spec.name}")
        return f"delta.`{self.location}/{spec.name}`"

    def exists(self, spec: TableSpec) -> bool:
        """Whether the table has been written."""
        if spec.name in self._known:
            return True
        if self._is_there(spec):
            self._known.add(spec.name)
            return True
        return False

    def _is_there(self, spec: TableSpec) -> bool:
        if self.is_catalog:
            return self.spark.catalog.tableExists(f"{self.location}.{spec.name}")
        return DeltaTable.isDeltaTable(self.spark, f"{self.location}/{spec.name}")

    def read(self, spec: TableSpec) -> DataFrame:
        """The table as it stands; its version is noted. Raises ``UserError`` where it is missing or lacks columns."""
        if not self.exists(spec):
            raise UserError.no_table(spec.name, self.location, spec.job)
        frame = self.spark.table(self.name(spec))
        missing = [c for c in spec.columns if c not in frame.columns]
        if missing:
            raise UserError.lacks_columns(spec.name, missing, frame.columns, spec.job)
        self.versions_read[spec.name] = self.version(spec)
        return frame

    def read_or_empty(self, spec: TableSpec) -> DataFrame:
        """The table, or no rows of its columns where it has not been written."""
        return self.read(spec) if self.exists(spec) else empty(self.spark, spec)

    def append(self, spec: TableSpec, frame: DataFrame) -> None:
        """Add rows that are known to be new."""
        self._write(spec, frame, "append")

    def replace(self, spec: TableSpec, frame: DataFrame, where: str | None = None) -> None:
        """Replace the whole table, or the rows for which ``where`` holds, in one commit."""
        self._write(spec, frame, "overwrite", where if self.exists(spec) else None)

    def merge(self, spec: TableSpec, frame: DataFrame, update: bool = True, delete: Column | None = None) -> None:
        """Insert the rows whose key is new; with ``update``, bring changed rows up to date.

        ``delete``: a condition on ``s`` (the rows given); rows for which it holds are removed, not written. Rows that
        would not change are left alone, so a re-run commits nothing. ``*_at`` columns do not count as change.
        """
        if not self.exists(spec):
            self._write(spec, frame if delete is None else frame.alias("s").where(~delete), "append")
            return
        with _user_columns(spec):
            changes = self._new_or_changed(spec, frame, update, delete).persist()
        try:
            if not changes.isEmpty():
                with _user_columns(spec):
                    self._merge(spec, changes, update, delete)
                self.versions_written[spec.name] = self.version(spec)
        finally:
            changes.unpersist()

    def _new_or_changed(self, spec: TableSpec, frame: DataFrame, update: bool, delete: Column | None) -> DataFrame:
        """The rows that a merge would write or delete by. Delta itself rewrites every file that a row given is in."""
        table = self.spark.table(self.name(spec))
        watched = [c for c in frame.columns if c not in spec.key and not c.endswith("_at")] if update else []
        there = table.select(*table.columns, F.lit(True).alias("_there")).alias("t")
        same_key = [F.col(f"t.`{c}`").eqNullSafe(F.col(f"s.`{c}`")) for c in spec.key]
        types = dict(frame.dtypes)

        def value(side: str, c: str) -> Column:  # maps cannot be compared as they are
            column = F.col(f"{side}.`{c}`")
            return F.to_json(F.struct(column.alias("_"))) if "map<" in types[c] else column

        differs = F.lit(False)
        for c in watched:
            known = c in table.columns
            differs = differs | (~value("t", c).eqNullSafe(value("s", c)) if known else value("s", c).isNotNull())
        absent = F.col("t._there").isNull()
        wanted = absent | differs if delete is None else F.when(delete, ~absent).otherwise(absent | differs)
        return frame.alias("s").join(there, on=reduce(and_, same_key), how="left").where(wanted).select("s.*")

    def _merge(self, spec: TableSpec, frame: DataFrame, update: bool, delete: Column | None) -> None:
        same_key = " AND ".join(f"t.`{c}` <=> s.`{c}`" for c in spec.key)
        merge = self.delta(spec).alias("t").merge(frame.alias("s"), same_key)
        if spec.open:
            merge = merge.withSchemaEvolution()
        if delete is not None:
            merge = merge.whenMatchedDelete(delete)
        if update:
            merge = merge.whenMatchedUpdateAll()
        merge = merge.whenNotMatchedInsertAll(None if delete is None else ~delete)
        merge.execute()

    def delta(self, spec: TableSpec) -> DeltaTable:
        """Delta's own handle."""
        if self.is_catalog:
            return DeltaTable.forName(self.spark, f"{self.location}.{spec.name}")
        return DeltaTable.forPath(self.spark, f"{self.location}/{spec.name}")

    def version(self, spec: TableSpec) -> int:
        """The table's current Delta version."""
        spark = self.spark
        try:  # what Delta has in memory; DESCRIBE HISTORY would be a Spark job
            log = spark._jvm.org.apache.spark.sql.delta.DeltaLog  # type: ignore[union-attr]
            if self.is_catalog:
                parser = spark._jsparkSession.sessionState().sqlParser()
                name = self.name(spec).removeprefix("`spark_catalog`.")  # an identifier has two parts
                log = log.forTable(spark._jsparkSession, parser.parseTableIdentifier(name))
            else:
                log = log.forTable(spark._jsparkSession, f"{self.location}/{spec.name}")
            nothing = spark._jvm.scala.Option.empty()  # type: ignore[union-attr]
            return int(log.update(False, nothing, nothing).version())
        except (Py4JError, AttributeError, ParseException):  # another Delta release, another catalog
            row = self.delta(spec).history(1).select("version").first()
            return int(row["version"]) if row else -1

    def folder(self) -> str:
        """A folder of this warehouse for what is no table (MLlib's own models)."""
        if not self.is_catalog:
            return self.location
        rows = self.spark.sql(f"DESCRIBE SCHEMA {quoted(self.location)}").collect()
        return str(next(r[1] for r in rows if r[0].lower() in ("location", "namespace location")))

    def _write(self, spec: TableSpec, frame: DataFrame, mode: str, where: str | None = None) -> None:
        """Write rows as the spec says them: its types (Arrow and SQL both widen them), its order, its comments.

        A column that may be null and that the frame lacks is null; one that the table lacks (an older one) is added.
        """
        given = set(frame.columns)
        ours = [
            (F.col(f.name) if f.name in given or not f.nullable else F.lit(None))
            .cast(f.dataType)
            .alias(f.name, metadata=f.metadata)
            for f in struct(spec.ddl)
        ]
        extra = [F.col(f"`{c}`") for c in frame.columns if spec.open and c not in spec.columns]
        writer = frame.select(*ours, *extra).write.format("delta").mode(mode).option("mergeSchema", "true")
        if where is not None:
            writer = writer.option("replaceWhere", where)
        with _user_columns(spec):
            if self.is_catalog:
                writer.saveAsTable(f"{self.location}.{spec.name}")
            else:
                writer.save(f"{self.location}/{spec.name}")
        self._known.add(spec.name)
        self.versions_written[spec.name] = self.version(spec)


@contextmanager
def _user_columns(spec: TableSpec) -> Iterator[None]:
    """What Delta refuses about a table that takes the user's own columns is told as a mistake in the input."""
    try:
        yield
    except AnalysisException as e:
        if not spec.open:
            raise
        reason = str(e).splitlines()[0]
        raise UserError(
            f"table '{spec.name}' cannot take these columns: {reason}; rename or cast the column in the input"
        ) from e


def empty(spark: SparkSession, spec: TableSpec) -> DataFrame:
    """No rows, with the spec's columns."""
    return spark.createDataFrame([], struct(spec.schema))


def struct(ddl: str) -> T.StructType:
    """A table's DDL as Spark's type."""
    return cast(T.StructType, T.StructType.fromDDL(ddl))


def read_any(spark: SparkSession, where: str) -> DataFrame | None:
    """A Delta table by path or by name; ``None`` where there is none."""
    if CATALOG_NAME.match(where) and not Path(where).exists():
        try:
            return spark.table(where) if spark.catalog.tableExists(where) else None
        except AnalysisException:  # more parts than the catalog has levels, or no such catalog
            return None
    path = absolute(where)
    return spark.read.format("delta").load(path) if DeltaTable.isDeltaTable(spark, path) else None


def absolute(path: str) -> str:
    """A URI as it is; a local path made absolute, since executors and later runs stand in other folders."""
    if re.match(r"^[A-Za-z][\w+.-]*:/", path):
        return path.rstrip("/")
    return str(Path(path).expanduser().absolute())


def quoted(name: str) -> str:
    """``a.b`` → ```a`.`b```."""
    return ".".join(f"`{part}`" for part in name.split("."))


def _schema_exists(spark: SparkSession, location: str) -> bool:
    _refuse_unknown_catalog(spark, location)
    return spark.catalog.databaseExists(location)


def _refuse_unknown_catalog(spark: SparkSession, location: str) -> None:
    catalog = location.split(".")[0]
    if catalog != "spark_catalog" and spark.conf.get(f"spark.sql.catalog.{catalog}", None) is None:
        raise UserError(
            f"--warehouse {location}: Spark knows no catalog '{catalog}'; configure spark.sql.catalog.{catalog}, "
            f"use spark_catalog.{location.split('.')[-1]}, or give a path (./{location})"
        )


def _path_exists(spark: SparkSession, path: str) -> bool:
    hadoop = spark._jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    return bool(hadoop.getFileSystem(spark._jsc.hadoopConfiguration()).exists(hadoop))
