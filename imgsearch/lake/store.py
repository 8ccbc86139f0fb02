"""The warehouse: Delta tables under a path or a catalog's schema, read and written by their ``TableSpec``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from delta.tables import DeltaTable
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.lake.commits import commit
from imgsearch.lake.identifiers import quoted, quoted_part
from imgsearch.lake.leases import give_back, leased, take
from imgsearch.lake.merges import merge_into, new_or_changed
from imgsearch.lake.rows import empty, struct, typed
from imgsearch.lake.shared_files import local_path, shared_folder
from imgsearch.lake.staging import KEPT, LEASES, StagedRows, Staging
from imgsearch.places import CATALOG_NAME, absolute
from imgsearch.tables import TableSpec


@dataclass
class TableStore:
    """One warehouse, and what this run has read from it and written to it (for ``runs``)."""

    spark: SparkSession
    location: str
    is_catalog: bool
    versions_read: dict[str, int] = field(default_factory=dict)
    versions_written: dict[str, int] = field(default_factory=dict)
    _existing: set[str] = field(default_factory=set)
    _folder: str | None = None
    _staging: Staging | None = None

    @classmethod
    def open(cls, spark: SparkSession, location: str, *, create: bool = False) -> TableStore:
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
        return f"delta.{quoted_part(f'{self.location}/{spec.name}')}"

    def exists(self, spec: TableSpec) -> bool:
        """Whether the table has been written."""
        if spec.name in self._existing:
            return True
        with self._about(spec):
            is_there = self._is_there(spec)
        if is_there:
            self._existing.add(spec.name)
        return is_there

    def _is_there(self, spec: TableSpec) -> bool:
        if self.is_catalog:
            return self.spark.catalog.tableExists(self.name(spec))
        return DeltaTable.isDeltaTable(self.spark, f"{self.location}/{spec.name}")

    def read(self, spec: TableSpec) -> DataFrame:
        """The table as it stands; its version is noted. A column that it lacks is null in every row.

        Raises ``UserError`` where the table is missing, or lacks a column that may not be null.
        """
        if not self.exists(spec):
            raise UserError.no_table(spec.name, self.location, spec.job)
        with self._about(spec):
            frame = self.spark.table(self.name(spec))
        absent = [f for f in struct(spec.schema) if f.name not in frame.columns]
        missing = [f.name for f in absent if not f.nullable]
        if missing:
            raise UserError.lacks_columns(spec.name, missing, frame.columns, spec.job)
        self.versions_read[spec.name] = self.version(spec)
        frame = frame.withColumns({f.name: F.lit(None).cast(f.dataType) for f in absent})
        for name, former in spec.renamed.items():
            if former in frame.columns:
                frame = frame.withColumn(name, F.coalesce(name, former)).drop(former)
        return frame

    def read_or_empty(self, spec: TableSpec) -> DataFrame:
        """The table, or no rows of its columns where it has not been written."""
        return self.read(spec) if self.exists(spec) else empty(self.spark, spec)

    def append(self, spec: TableSpec, frame: DataFrame) -> None:
        """Add rows whose key no other run can make (``runs``, ``drift``). For all others there is ``insert_new``."""
        rows = typed(spec, frame)
        self._commit(spec, lambda _: self._save(spec, rows, "append"))

    def insert_new(self, spec: TableSpec, frame: DataFrame) -> None:
        """Add the rows whose key is not in the table yet, each once, whoever else writes at the same time.

        ``frame`` may be read more than once: ``stage`` it where its rows cost much.
        """
        rows = typed(spec, frame).dropDuplicates(list(spec.key))

        def insert(_: int) -> None:
            if self._is_there(spec):
                merge_into(self.delta(spec), spec, rows, update=False)
            else:
                self._save(spec, rows, "error")

        self._commit(spec, insert)

    def replace(self, spec: TableSpec, frame: DataFrame, where: str | None = None) -> None:
        """Replace the whole table, or the rows for which ``where`` holds, in one commit.

        Where another writer was there, the rows of a whole table are computed once more, into the staging, and kept for
        any later try; those of a part are computed anew, since they may be made of the table itself: what the other
        writer added is then among them.
        """
        rows = typed(spec, frame)
        staged: list[DataFrame] = []

        def overwrite(attempt: int) -> None:
            if attempt and not staged and where is None:
                staged.append(typed(spec, self.stage(rows, spec.name)))
            there = where is not None and self._is_there(spec)
            if there:
                self._add_columns(spec)
            self._save(spec, staged[0] if staged else rows, "overwrite", where if there else None)

        self._commit(spec, overwrite)

    def merge(self, spec: TableSpec, frame: DataFrame, *, update: bool = True, delete: Column | None = None) -> None:
        """Insert the rows whose key is new; with ``update``, bring changed rows up to date.

        ``delete``: a condition on ``s`` (the rows given); rows for which it holds are removed, not written. Rows that
        would not change are left alone, so a re-run commits nothing. ``*_at`` columns do not count as change, but for
        ``modified_at``.
        """
        rows = frame if spec.open else frame.select(*[c for c in frame.columns if c in spec.columns])

        def change(_: int) -> None:
            if not self._is_there(spec):
                fresh = rows if delete is None else rows.alias("s").where(~delete)
                self._save(spec, typed(spec, fresh), "error")
                return
            changes = new_or_changed(self.spark.table(self.name(spec)), spec, rows, update, delete).persist()
            try:
                if not changes.isEmpty():
                    merge_into(self.delta(spec), spec, changes, update, delete)
            finally:
                changes.unpersist()

        self._commit(spec, change)

    def delete(self, spec: TableSpec, condition: Column) -> None:
        """Remove the rows for which ``condition`` holds."""
        self._commit(spec, lambda _: self.delta(spec).delete(condition))

    def optimize(self, spec: TableSpec) -> None:
        """Let Delta join the table's small files; the session's settings say which those are."""
        self._commit(spec, lambda _: self.delta(spec).optimize().executeCompaction())

    def delete_matching(self, spec: TableSpec, rows: DataFrame, condition: str) -> None:
        """Remove the rows (``t``) that match one of ``rows`` (``s``), where the table has been written."""
        if self.exists(spec) and not rows.isEmpty():
            matches = self.delta(spec).alias("t").merge(rows.distinct().alias("s"), condition)
            self._commit(spec, lambda _: matches.whenMatchedDelete().execute())

    def stage(self, frame: DataFrame, name: str) -> DataFrame:
        """Compute ``frame`` once and keep its rows in the warehouse's own staging until this run ends (``finish``).

        Returns a frame that reads them from there: it survives a lost executor, and a commit can be tried again
        without computing anything twice. ``name``: letters, digits, dashes.
        """
        return self._stages().stage(frame, name)[0]

    @contextmanager
    def staged(self, frame: DataFrame, name: str) -> Iterator[DataFrame]:
        """As ``stage``, until the block ends: for one slice of many."""
        rows, folder = self._stages().stage(frame, name)
        try:
            yield rows
        finally:
            self._stages().remove(folder)

    @contextmanager
    def kept(self, name: str) -> Iterator[StagedRows]:
        """A place for costly rows, which the next run goes on with (``left_over``) if this one is stopped.

        Its files are removed when the block ends well.
        """
        rows = self._stages().rows(KEPT + name)
        try:
            yield rows
        except BaseException:
            self._stages().leave()
            raise
        rows.remove()

    def left_over(self, name: str) -> list[StagedRows]:
        """What stopped runs left of ``kept`` rows with this name; whoever has committed them removes them."""
        return self._stages().left_over(name)

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Whether this run may do the work called ``name``, alone, while the block runs; false while another does."""
        try:
            lease = take(shared_folder(self.spark, f"{self.folder()}/{LEASES}"), name, name)
        except UserError:
            yield False
            return
        try:
            yield True
        finally:
            give_back(lease, forget=True)

    @contextmanager
    def lease(self, name: str, work: str | None = None, wait_seconds: float = 0.0) -> Iterator[None]:
        """This run alone does the work called ``name`` in this warehouse while the block runs.

        Raises ``UserError`` that says who is at work, at once or after ``wait_seconds``. ``work``: what this run does,
        for the others to read; ``name`` unless given.
        """
        with leased(shared_folder(self.spark, f"{self.folder()}/{LEASES}"), name, work or name, wait_seconds):
            yield

    def close(self) -> None:
        """Remove what this run has staged."""
        if self._staging is not None:
            self._staging.close()

    def _stages(self) -> Staging:
        self._staging = self._staging or Staging(self.spark, self.folder())
        return self._staging

    def _commit(self, spec: TableSpec, write: Callable[[int], object]) -> None:
        local = local_path(self.spark, f"{self.folder()}/{LEASES}")
        lock = None if local is None else local / f"{spec.name}.lock"
        with _user_columns(spec), self._about(spec), _row_groups(self.spark, spec):
            self._refuse_foreign(spec)
            version = commit(self.spark, spec.name, lock, write)
        self._existing.add(spec.name)
        if version is not None:
            self.versions_written[spec.name] = version

    def _refuse_foreign(self, spec: TableSpec) -> None:
        """A table of one of our names that is not ours (in a schema that others use too) is never written to.

        Ours has most of the columns that may not be null; an older one may lack some.
        """
        if spec.name in self.versions_written or spec.name in self.versions_read or not self._is_there(spec):
            return
        present = {name.lower() for name in self.spark.table(self.name(spec)).columns}
        needed = [f.name for f in struct(spec.schema) if not f.nullable]
        missing = [name for name in needed if name not in present]
        if 2 * len(missing) > len(needed):
            raise UserError(
                f"--warehouse {self.location}: its table '{spec.name}' is not imgsearch's (no column "
                f"{', '.join(missing)}); give a schema or folder of its own"
            )

    @contextmanager
    def _about(self, spec: TableSpec) -> Iterator[None]:
        """What fails inside says which table it was about (see ``imgsearch.faults``): not every error of Delta does."""
        try:
            yield
        except Exception as e:
            e.add_note(f"at {self.location}/{spec.name}")
            raise

    def delta(self, spec: TableSpec) -> DeltaTable:
        """Delta's own handle."""
        if self.is_catalog:
            return DeltaTable.forName(self.spark, self.name(spec))
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
        if self._folder is None:
            rows = self.spark.sql(f"DESCRIBE SCHEMA {quoted(self.location)}").collect()
            self._folder = str(next(r[1] for r in rows if r[0].lower() in ("location", "namespace location")))
        return self._folder

    def _add_columns(self, spec: TableSpec) -> None:
        """Give an older table the columns that it lacks, so that a condition can name them."""
        present = self.spark.table(self.name(spec)).columns
        absent = [f for f in struct(spec.schema) if f.name not in present]
        if absent:
            columns = ", ".join(f"{f.name} {f.dataType.simpleString()}" for f in absent)
            self.spark.sql(f"ALTER TABLE {self.name(spec)} ADD COLUMNS ({columns})")

    def _save(self, spec: TableSpec, rows: DataFrame, mode: str, where: str | None = None) -> None:
        writer = rows.write.format("delta").mode(mode).option("mergeSchema", "true")
        if where is not None:
            writer = writer.option("replaceWhere", where)
        if self.is_catalog:
            writer.saveAsTable(self.name(spec))
        else:
            writer.save(f"{self.location}/{spec.name}")


@contextmanager
def _row_groups(spark: SparkSession, spec: TableSpec) -> Iterator[None]:
    """Row groups of the size that ``spec`` names: Spark hands the session's settings to Parquet's writer."""
    if spec.row_group_bytes is None:
        yield
        return
    before = spark.conf.get("parquet.block.size", None)
    spark.conf.set("parquet.block.size", str(spec.row_group_bytes))
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset("parquet.block.size")
        else:
            spark.conf.set("parquet.block.size", before)


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


def read_any(spark: SparkSession, where: str) -> DataFrame | None:
    """A Delta table by path or by name; ``None`` where there is none."""
    if CATALOG_NAME.match(where) and not Path(where).exists():
        try:
            return spark.table(quoted(where)) if spark.catalog.tableExists(quoted(where)) else None
        except AnalysisException:  # more parts than the catalog has levels, or no such catalog
            return None
    path = absolute(where)
    return spark.read.format("delta").load(path) if DeltaTable.isDeltaTable(spark, path) else None


def _schema_exists(spark: SparkSession, location: str) -> bool:
    _refuse_unknown_catalog(spark, location)
    return spark.catalog.databaseExists(location)


def _refuse_unknown_catalog(spark: SparkSession, location: str) -> None:
    catalog, _, schema = location.partition(".")
    if catalog != "spark_catalog" and spark.conf.get(f"spark.sql.catalog.{catalog}", None) is None:
        raise UserError(
            f"--warehouse {location}: Spark knows no catalog '{catalog}'; configure spark.sql.catalog.{catalog}, "
            f"use spark_catalog.{schema or catalog}, or give a path (./{location})"
        )


def _path_exists(spark: SparkSession, path: str) -> bool:
    hadoop = spark._jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    return bool(hadoop.getFileSystem(spark._jsc.hadoopConfiguration()).exists(hadoop))
