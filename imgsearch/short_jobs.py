"""Whether a job is short: over before the JVM's second compiler and Spark's generated code have paid for themselves.

Measured on 2 cores: `label` over 59 images takes 43 s of CPU time, 25 s with the JVM's first compiler alone; the whole
pipeline then 74 s, 58 s with Spark's expressions interpreted (two runs of each; they differ by 3 %).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from imgsearch.places import local_path

#: With one compiler the JVM reserves 48 MB for code; a chain of jobs fills them in about a minute of work, and what
#: comes then is interpreted. Spark writes, compiles and loads a Java class for each new query, whatever its rows are.
SETTINGS = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
#: The table `images` below this many bytes has a few thousand rows.
IMAGES_BYTES = 1 << 20
#: A folder of at most this many pictures, and a file of at most this many bytes, is a small input.
FILES, FILE_BYTES = 2_000, 8 << 20
#: Settings that name what a job reads beside the warehouse.
INPUTS = ("input", "queries")


def is_short(config: Any) -> bool:
    """Whether the local warehouse and the local input of a job's settings are small; anything elsewhere is large."""
    warehouse = local_path(config.warehouse)
    inputs = [local_path(value) for name in INPUTS if (value := getattr(config, name, None)) is not None]
    if warehouse is None or not all(place is not None and _is_small(place) for place in inputs):
        return False
    if not (warehouse / "images").is_dir():
        return bool(inputs)
    return _bytes(warehouse / "images") <= IMAGES_BYTES


def _is_small(place: Path) -> bool:
    if place.is_file():
        return place.stat().st_size <= FILE_BYTES
    return place.is_dir() and len(list(islice(_files(place), FILES + 1))) <= FILES


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in islice(_files(folder), FILES + 1))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
