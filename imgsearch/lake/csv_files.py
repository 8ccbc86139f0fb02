"""Files that people write and read: CSV in, ``.csv`` and ``.parquet`` out."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from imgsearch.errors import UserError, did_you_mean
from imgsearch.lake.remote_files import leave, readable
from imgsearch.places import SCHEME

CsvRows = list[dict[str, str]]
DELIMITERS = (",", ";", "\t", "|")
#: Columns that we look for.
KNOWN_COLUMNS = frozenset(("path", "label", "image_id", "cluster_id", "other_path", "match"))
#: Rows of a CSV that are held at once.
BLOCK_ROWS = 200_000


def read_csv(path: str, option: str, needs: Sequence[str]) -> CsvRows:
    """All rows of a CSV with a header, values stripped: for lists that are short. Raises ``UserError``."""
    return [row for _, rows in csv_blocks(path, option, needs) for row in rows]


def csv_blocks(
    path: str, option: str, needs: Sequence[str], block_rows: int | None = None
) -> Iterator[tuple[int, CsvRows]]:
    """(line of the first, from 2; rows) of a CSV with a header, ``block_rows`` at a time, values stripped.

    Raises ``UserError`` where it cannot be used; there is at least one block.
    """
    line, rows = 2, []
    for row in _csv_rows(path, option, needs):
        rows.append(row)
        if len(rows) == (block_rows or BLOCK_ROWS):
            yield line, rows
            line, rows = line + len(rows), []
    if rows:
        yield line, rows
    elif line == 2:
        raise UserError(f"--{option} {path}: has no rows; give one row an image")


def _csv_rows(path: str, option: str, needs: Sequence[str]) -> Iterator[dict[str, str]]:
    try:
        with readable(path) as local, open(local, newline="", encoding=_encoding(local)) as file:
            head = file.readline()
            separator = re.fullmatch(r"sep=(.)\s*", head)  # Excel's own first line
            head = file.readline() if separator else head
            delimiter = separator[1] if separator else delimiter_of(head, needs)
            columns = column_names(head, delimiter)
            for name in needs:
                if name not in columns:
                    raise UserError(
                        f"--{option} {path}: has no column '{name}'{did_you_mean(name, columns)}; it has {columns}"
                    )
            for number, row in enumerate(csv.reader(file, delimiter=delimiter), 2):
                if row:
                    yield _row(columns, row, f"--{option} {path} line {number}")
    except OSError as e:
        raise UserError(f"--{option} {path}: {e.strerror}; give a CSV file with the columns {', '.join(needs)}") from e
    except (UnicodeError, csv.Error) as e:
        raise UserError(f"--{option} {path}: not a CSV in UTF-8 ({e}); save it as CSV UTF-8") from e


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def delimiter_of(head: str, needs: Sequence[str]) -> str:
    """What stands between a header's names: the sign by which it has most of ``needs``, then the one that cuts most.

    >>> delimiter_of("path;label", ["label"]), delimiter_of("path", ["path"])
    (';', ',')
    """

    def order(sign: str) -> tuple[int, int]:
        names = column_names(head, sign)
        return len({*needs} & {*names}), len(names)

    return max(DELIMITERS, key=order)


def column_names(head: str, delimiter: str) -> list[str]:
    r"""The names in a header; those that we use whatever their case.

    >>> column_names("Path; My Label\n", ";")
    ['path', 'My Label']
    """
    names = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
    return [name.lower() if name.lower() in KNOWN_COLUMNS and name.lower() not in names else name for name in names]


def _row(columns: list[str], values: list[str], where: str) -> dict[str, str]:
    if any(value.strip() for value in values[len(columns) :]):
        raise UserError(
            f"{where}: has {len(values)} values where the header has {len(columns)} columns; "
            "put values that hold the separator in double quotes"
        )
    padded = [*values, *[""] * (len(columns) - len(values))]
    return {name: value.strip() for name, value in zip(columns, padded, strict=False)}


#: Text that a spreadsheet would run.
FORMULA = r"^([=+\-@\t\r])"


def write_file(table: pa.Table, output: str) -> None:
    """A table as ``.csv`` or ``.parquet``, whole or not at all."""
    write_batches(table.schema, table.to_batches(), output)


def guarded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text that a spreadsheet would run as a formula, with an apostrophe before it."""

    def guard(column: pa.Array) -> pa.Array:
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            return column
        return pc.replace_substring_regex(column, FORMULA, r"'\1")

    return pa.RecordBatch.from_arrays([guard(column) for column in batch.columns], schema=batch.schema)


def write_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], output: str, *, guard: bool = True) -> None:
    """Batches as one ``.csv`` or ``.parquet``, whole or not at all; one batch is held at a time.

    ``guard``: in a CSV, no text begins a formula (``guarded``).
    """
    is_remote = bool(SCHEME.match(output))
    writer = pyarrow.csv.CSVWriter if output.endswith(".csv") else pyarrow.parquet.ParquetWriter
    try:
        with tempfile.TemporaryDirectory(prefix="imgsearch-") as folder:
            path = Path(folder, Path(output).name) if is_remote else Path(output)
            part = path.with_name(f".{path.name}.part")
            path.parent.mkdir(parents=True, exist_ok=True)
            with writer(part, schema) as file:
                for batch in batches:
                    file.write_batch(guarded(batch) if guard and output.endswith(".csv") else batch)
            leave(part, output) if is_remote else part.replace(path)
    except OSError as e:
        raise UserError(f"--output {output}: {e.strerror or e}; name a file in a folder that can be written") from e
