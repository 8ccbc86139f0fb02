"""Files that people write and read: CSV in, ``.csv`` and ``.parquet`` out."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from imgsearch.errors import UserError, did_you_mean
from imgsearch.lake.remote_files import leave, readable
from imgsearch.places import SCHEME

CsvRows = list[dict[str, str]]
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
        with readable(path) as local, open(local, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = columns
            for name in needs:
                if name not in columns:
                    raise UserError(
                        f"--{option} {path}: has no column '{name}'{did_you_mean(name, columns)}; it has {columns}"
                    )
            for row in reader:
                yield {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}
    except OSError as e:
        raise UserError(f"--{option} {path}: {e.strerror}; give a CSV file with the columns {', '.join(needs)}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"--{option} {path}: not a CSV in UTF-8 ({e}); save it as CSV UTF-8") from e


def write_file(table: pa.Table, output: str) -> None:
    """A table as ``.csv`` or ``.parquet``, whole or not at all."""
    write_batches(table.schema, table.to_batches(), output)


def write_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], output: str) -> None:
    """Batches as one ``.csv`` or ``.parquet``, whole or not at all; one batch is held at a time."""
    is_remote = bool(SCHEME.match(output))
    writer = pyarrow.csv.CSVWriter if output.endswith(".csv") else pyarrow.parquet.ParquetWriter
    try:
        with tempfile.TemporaryDirectory(prefix="imgsearch-") as folder:
            path = Path(folder, Path(output).name) if is_remote else Path(output)
            part = path.with_name(f".{path.name}.part")
            path.parent.mkdir(parents=True, exist_ok=True)
            with writer(part, schema) as file:
                for batch in batches:
                    file.write_batch(batch)
            leave(part, output) if is_remote else part.replace(path)
    except OSError as e:
        raise UserError(f"--output {output}: {e.strerror or e}; name a file in a folder that can be written") from e
