"""What is ours to replace: the one rule, on every filesystem, before anything is written over or removed.

A folder is ours if it is new, empty, or bears our marker; it is marked before anything else is written. A file is ours
if it is new, empty, or has the columns that we write. Symbolic links are never followed: one that stands in a folder of
ours where we would write is a mistake to be told, and removing a link leaves what it leads to alone.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from pyspark.sql import SparkSession

from imgsearch.errors import UserError
from imgsearch.lake.remote_files import is_folder, read_start
from imgsearch.lake.shared_files import HadoopFolder, LocalFolder
from imgsearch.places import SCHEME, local_path

#: Bytes of a file that may hold its first line.
START_BYTES = 1 << 16
NOTE = b"made by imgsearch, which replaces what is in this folder when it writes to it again\n"


def claim(folder: LocalFolder | HadoopFolder, marker: str, option: str, value: str, parts: tuple[str, ...]) -> None:
    """Mark ``folder`` as ours. Raises ``UserError`` where it is another's, or where one of ``parts`` in it is a link.

    ``marker``: the name of a file. ``parts``: folders that will be replaced in it; of those that hold others, too.
    """
    if isinstance(folder, LocalFolder) and folder.path.exists() and not folder.path.is_dir():
        raise UserError.option(option, value, "is a file; give a new or empty folder")
    names = folder.names()
    if names and marker not in names:
        raise UserError.option(
            option, value, f"is not empty and no earlier run made it (no {marker} in it); give a new or empty folder"
        )
    if isinstance(folder, LocalFolder):
        for link in _links(folder.path, parts):
            raise UserError.option(option, value, f"{link} in it is a link; remove it, or give a new folder")
    if marker not in names:
        folder.write(marker, NOTE)


def _links(folder: Path, parts: tuple[str, ...]) -> list[str]:
    """Links among ``parts`` of a local folder and directly in them."""
    links = [part for part in parts if (folder / part).is_symlink()]
    for part in parts:
        if not (folder / part).is_symlink() and (folder / part).is_dir():
            with os.scandir(folder / part) as entries:
                links += [f"{part}/{entry.name}" for entry in entries if entry.is_symlink()]
    return sorted(links)


def folder_at(spark: SparkSession, place: str) -> LocalFolder | HadoopFolder:
    """The folder at an absolute path or URI."""
    local = local_path(place)
    return HadoopFolder(spark, place) if local is None else LocalFolder(local)


def check_file(output: str, column: str) -> None:
    """Whether a file that people name may be written over: it is new, empty, or has the ``column`` that ours have.

    Raises ``UserError`` where it may not.
    """
    try:
        columns = _columns(output)
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        columns = ()
    if columns is not None and column not in columns:
        raise UserError.option(
            "output", output, f"is there and no earlier run made it (no column '{column}'); give a new name"
        )


def _columns(output: str) -> tuple[str, ...] | None:
    """The columns of the file at ``output``; ``None`` where there is no file or nothing in it."""
    if is_folder(output):
        raise UserError.option("output", output, "is a folder; give the name of a file")
    start = read_start(output, START_BYTES)
    if not start:
        return None
    if output.endswith(".csv"):
        return tuple(next(csv.reader(io.StringIO(start.decode("utf-8-sig", "replace"))), []))
    if SCHEME.match(output):
        session = SparkSession.getActiveSession()
        return tuple(session.read.parquet(output).columns) if session is not None else ()
    return tuple(pyarrow.parquet.read_schema(local_path(output)).names)
