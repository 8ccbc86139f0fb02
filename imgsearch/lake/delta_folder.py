"""A warehouse's tables read and appended by delta-rs: no JVM. Needs the extra ``review``.

Only what a server needs: whole tables into memory, and rows added to one. Everything else is ``TableStore``'s.
"""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgsearch.errors import UserError
from imgsearch.lake.turns import turn
from imgsearch.places import CATALOG_NAME, absolute, local_path
from imgsearch.tables import TableSpec

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.dataset import ParquetFileFragment

ATTEMPTS = 12
TYPES = {
    "STRING": pa.string(), "INT": pa.int32(), "BIGINT": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(), "BINARY": pa.binary(), "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
_COLUMN = re.compile(r"\s*(\w+)\s+(\w+)(?:<(.*?)>)?(\s+NOT NULL)?(?:\s+COMMENT\s+'((?:[^']|'')*)')?\s*(?:,|$)")


def arrow_schema(spec: TableSpec) -> pa.Schema:
    """The columns of a table as Arrow fields, whose metadata holds the comment.

    >>> print(arrow_schema(TableSpec("t", "a INT NOT NULL COMMENT 'it''s, so', b ARRAY<STRING>", ("a",), "any")))
    a: int32 not null
      -- field metadata --
      comment: 'it's, so'
    b: list<element: string>
      child 0, element: string
    """
    fields, end = [], 0
    while match := _COLUMN.match(spec.ddl, end):
        name, kind, inner, required, comment = match.groups()
        metadata = None if comment is None else {"comment": comment.replace("''", "'")}
        fields.append(pa.field(name, _type(kind, inner), not required, metadata))
        end = match.end()
    return pa.schema(fields)


def _type(kind: str, inner: str | None) -> pa.DataType:
    if kind == "ARRAY":
        return pa.list_(pa.field("element", TYPES[str(inner)]))
    if kind == "MAP":
        key, value = (TYPES[part.strip()] for part in str(inner).split(","))
        return pa.map_(key, value)
    return TYPES[kind]


@dataclass(frozen=True)
class DeltaFolder:
    """The tables under ``location``, an absolute path or a URI."""

    location: str
    _open: dict[str, DeltaTable] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, location: str) -> DeltaFolder:
        """Raises ``UserError`` where there is no such folder, or for a name in a catalog, which only Spark can read."""
        path = local_path(location)
        if path is not None and not path.is_dir():
            if CATALOG_NAME.match(location):
                raise UserError(
                    f"--warehouse {location}: a catalog's tables are read by Spark alone; give the folder or URI they "
                    "are in (`DESCRIBE SCHEMA` says where)"
                )
            raise UserError(f"--warehouse {location}: no such folder; run `./spark-submit.sh ingest` to make it")
        return cls(absolute(str(path)) if path is not None else location.rstrip("/"))

    def exists(self, spec: TableSpec) -> bool:
        """Whether the table has been written."""
        from deltalake import DeltaTable

        return spec.name in self._open or DeltaTable.is_deltatable(self._uri(spec))

    def version(self, spec: TableSpec) -> int:
        """The table's Delta version; -1 where it has not been written."""
        return self._table(spec).version() if self.exists(spec) else -1

    def read(self, spec: TableSpec, columns: list[str] | None = None, where: Any = None) -> pa.Table:
        """The rows for which ``where`` (a pyarrow expression) holds. A nullable column that it lacks is null.

        ``columns``: which (``None``: all that the table has, and the spec's). Raises ``UserError`` where the table is
        missing, or cannot be read without Spark.
        """
        if not self.exists(spec):
            raise UserError.no_table(spec.name, self.location, spec.job)
        table = self._table(spec)
        try:
            data = table.to_pyarrow_dataset()
        except Exception as e:
            raise UserError(
                f"table '{spec.name}' in {self.location} cannot be read without Spark ({' '.join(str(e).split())}); "
                "turn off deletion vectors and column mapping there"
            ) from e
        present = set(data.schema.names)
        selected = [c for c in columns if c in present] if columns is not None else None
        rows = data.to_table(columns=selected, filter=where)
        for column in arrow_schema(spec):
            if column.name not in present and (columns is None or column.name in columns):
                former = spec.renamed.get(column.name)
                values = data.to_table(columns=[former], filter=where)[former] if former in present else None
                rows = rows.append_column(column.name, pa.nulls(len(rows), column.type) if values is None else values)
        return rows

    def read_or_empty(self, spec: TableSpec, columns: list[str] | None = None, where: Any = None) -> pa.Table:
        """As ``read``; no rows where the table has not been written."""
        if self.exists(spec):
            return self.read(spec, columns, where)
        schema = arrow_schema(spec)
        return schema.empty_table().select(columns if columns is not None else schema.names)

    def files(self, spec: TableSpec) -> list[ParquetFileFragment]:
        """The table's files as Arrow's dataset reads them; none where it has not been written."""
        return list(self._table(spec).to_pyarrow_dataset().get_fragments()) if self.exists(spec) else []

    def read_new(self, spec: TableSpec, seen: set[str]) -> pa.Table:
        """The rows of files that are not in ``seen``, to which they are added. Rows that were moved come again."""
        schema = arrow_schema(spec)
        fragments = [f for f in self.files(spec) if f.path not in seen]
        seen |= {f.path for f in fragments}
        return pa.concat_tables([schema.empty_table(), *(f.to_table(schema=schema) for f in fragments)])

    def compact(self, spec: TableSpec, n_files: int) -> None:
        """Join the table's small files, where there are more than ``n_files``."""
        if self.exists(spec) and len(self._table(spec).file_uris()) > n_files:
            with turn(self._lock(spec), spec.name):
                self._table(spec).optimize.compact()

    def append(self, spec: TableSpec, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Add rows whose keys no other writer can make. They are in the table when this returns.

        Raises ``UserError`` where other writers were faster ``ATTEMPTS`` times.
        """
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError, TableNotFoundError

        schema = arrow_schema(spec)
        table = rows.cast(schema) if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema)
        for attempt in range(ATTEMPTS):
            try:
                with turn(self._lock(spec), spec.name):
                    # A handle that lacks others' commits is good enough: delta-rs finds the next free version.
                    where = self._open.get(spec.name, self._uri(spec))
                    write_deltalake(where, table, mode="append", name=spec.name, schema_mode="merge")
                if spec.name not in self._open:
                    self._table(spec)
                return
            except (CommitFailedError, TableNotFoundError, FileExistsError):
                time.sleep(random.uniform(0.1, 0.3) * min(2**attempt, 20))
        raise UserError(f"table '{spec.name}': other writers changed it {ATTEMPTS} times meanwhile; try again")

    def _table(self, spec: TableSpec) -> DeltaTable:
        """Delta's handle, up to date; it is kept, so that only new commits have to be read."""
        from deltalake import DeltaTable

        if spec.name in self._open:
            self._open[spec.name].update_incremental()
        else:
            self._open[spec.name] = DeltaTable(self._uri(spec))
        return self._open[spec.name]

    def _uri(self, spec: TableSpec) -> str:
        return f"{self.location}/{spec.name}"

    def _lock(self, spec: TableSpec) -> Path | None:
        path = local_path(self.location)
        return None if path is None else path / "_leases" / f"{spec.name}.lock"
