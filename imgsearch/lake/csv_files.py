"""Files that people write and read: CSV in, ``.csv`` and ``.parquet`` out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from imgsearch.errors import UserError, did_you_mean


def read_csv(path: str, option: str, needs: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV with a header, values stripped. Raises ``UserError`` where it cannot be used."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in reader]
    except OSError as e:
        raise UserError(f"--{option} {path}: {e.strerror}; give a CSV file with the columns {', '.join(needs)}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"--{option} {path}: not a CSV in UTF-8 ({e}); save it as CSV UTF-8") from e
    for name in needs:
        if name not in columns:
            raise UserError(f"--{option} {path}: has no column '{name}'{did_you_mean(name, columns)}; it has {columns}")
    if not rows:
        raise UserError(f"--{option} {path}: has no rows; give one row an image")
    return rows


def write_file(table: pa.Table, output: str) -> None:
    """A table as ``.csv`` or ``.parquet``, whole or not at all."""
    path = Path(output)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if output.endswith(".csv"):
            pyarrow.csv.write_csv(table, part)
        else:
            pyarrow.parquet.write_table(table, part)
        part.replace(path)
    except OSError as e:
        raise UserError(f"--output {output}: {e.strerror or e}; name a file in a folder that can be written") from e
