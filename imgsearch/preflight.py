"""Mistakes that a local path shows, told before Spark starts. What is no local path is left to the job."""

from __future__ import annotations

import dataclasses
import glob
from pathlib import Path
from typing import Any

from imgsearch.errors import LAUNCHER, UserError
from imgsearch.places import CATALOG_NAME, local_path

#: Folders of a Delta table's log, and what marks an export.
LOG, EXPORT = "_delta_log", ".imgsearch-export"
#: Options that name something to read, and whether it is one file.
INPUTS = {"input": False, "queries": False, "labels": True, "truth": True}
#: Words of an option that name no file.
WORDS = {("compress", "labels"): "table"}
#: Jobs that make their warehouse.
MAKERS = ("ingest", "pipeline", "demo")


def check_paths(job: str, config: Any) -> None:
    """Look at each local path in a job's settings. Raises ``UserError`` for what is missing or of the wrong kind."""
    if job in MAKERS and isinstance(getattr(config, "input", None), str):
        _check_apart(config.warehouse, config.input)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        path = local_path(value) if isinstance(value, str) else None
        if path is None:
            continue
        if field.name in INPUTS and value != WORDS.get((job, field.name)):
            _check_input(field.name, value, path, INPUTS[field.name])
        elif field.name == "warehouse" and (path.exists() or not CATALOG_NAME.match(value)):
            _check_warehouse(job, value, path)
        elif field.name == "output":
            _check_output(value, path, [getattr(config, name, None) for name in INPUTS])


def _check_input(option: str, value: str, path: Path, is_file: bool) -> None:
    if path.exists():
        if is_file and path.is_dir():
            raise UserError.option(option, value, "is a folder; give a CSV file")
        return
    if is_file:
        raise UserError.option(option, value, "No such file or directory; give a CSV file")
    if CATALOG_NAME.match(value) and path.suffix != ".csv":
        return
    if not any(True for _ in glob.iglob(str(path), recursive=True)):
        raise UserError.option(
            option, value, "there is no such folder, file, glob match or Delta table; check the name"
        )


def _check_warehouse(job: str, value: str, path: Path) -> None:
    if path.is_dir():
        _check_kind(job, value, path)
        return
    parent = next((p for p in [path, *path.absolute().parents] if p.exists()), path)
    if not parent.is_dir():
        problem = "is a file" if parent == path else f"{parent} is a file"
        raise UserError.option("warehouse", value, f"{problem}; give a folder, a URI, or catalog.schema")
    if job not in MAKERS:
        raise UserError.option("warehouse", value, f"no such folder; run `{LAUNCHER} ingest` to make it")


def _check_kind(job: str, value: str, path: Path) -> None:
    """Folders that people take for a warehouse: one of its tables, an export, what is around it."""
    if _holds_tables(path):
        return
    if (path / LOG).is_dir():
        raise UserError.option("warehouse", value, f"is one table; did you mean '{path.parent}', which it is in?")
    if (path / EXPORT).exists():
        raise UserError.option("warehouse", value, "is an export; give the warehouse that it was made from")
    near = [each for each in (path / "warehouse", path.parent) if _holds_tables(each)]
    if near:
        raise UserError.option("warehouse", value, f"holds no table; did you mean '{near[0]}'?")
    if job not in (*MAKERS, "status"):
        raise UserError.option("warehouse", value, f"holds no table; run `{LAUNCHER} ingest` to make one")


def _holds_tables(path: Path) -> bool:
    return any((path / table / LOG).is_dir() for table in ("images", "runs"))


def _check_apart(warehouse: str, source: str) -> None:
    """Tables inside the input would be files of the input."""
    outer, inner = (local_path(place) for place in (source, warehouse))
    if outer is None or inner is None or not outer.is_dir() or CATALOG_NAME.match(warehouse):
        return
    if inner.resolve().is_relative_to(outer.resolve()):
        raise UserError.option("warehouse", warehouse, f"lies in --input {source}; give a folder outside of it")


def _check_output(value: str, path: Path, inputs: list[Any]) -> None:
    parent = next((p for p in path.absolute().parents if p.exists()), path)
    if not parent.is_dir():
        raise UserError.option("output", value, f"{parent} is a file; give a path in a folder")
    for source in inputs:
        local = local_path(source) if isinstance(source, str) else None
        if local is not None and path.exists() and local.exists() and path.samefile(local):
            raise UserError.option("output", value, "is what this job reads; give another name")
