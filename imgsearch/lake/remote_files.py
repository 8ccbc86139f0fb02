"""Single files that people name, on any filesystem that Spark reaches: a copy to read, a copy to leave there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from imgsearch.places import SCHEME


@contextmanager
def readable(place: str) -> Iterator[Path]:
    """``place`` as a file of this machine: itself, or a copy while the context lasts. Raises ``OSError``."""
    if not SCHEME.match(place):
        yield _local(place)
        return
    with tempfile.TemporaryDirectory(prefix="imgsearch-") as folder:
        local = Path(folder, "copy")
        try:
            _copy(place, str(local))
        except Py4JJavaError as e:
            raise _os_error(e) from e
        yield local


def is_folder(place: str) -> bool:
    """Whether there is a folder at ``place``. Raises ``OSError``."""
    if not SCHEME.match(place):
        return _local(place).is_dir()
    path, system = _path(_session(), place)
    try:
        return bool(system.exists(path) and system.getFileStatus(path).isDirectory())
    except Py4JJavaError as e:
        raise _os_error(e) from e


def read_start(place: str, n_bytes: int) -> bytes:
    """The first bytes of a file, at most ``n_bytes``; none where there is no file. Raises ``OSError``."""
    try:
        if not SCHEME.match(place):
            with _local(place).open("rb") as file:
                return file.read(n_bytes)
        path, system = _path(_session(), place)
        stream = system.open(path)
        try:
            return bytes(stream.readNBytes(n_bytes))
        finally:
            stream.close()
    except FileNotFoundError:
        return b""
    except Py4JJavaError as e:
        error = _os_error(e)
        if isinstance(error, FileNotFoundError):
            return b""
        raise error from e


def leave(local: Path, place: str) -> None:
    """Move a file of this machine to the URI ``place``, whole or not at all. Raises ``OSError``."""
    spark = _session()
    folder, _, name = place.rpartition("/")
    part = f"{folder}/.{name}.part"
    target, system = _path(spark, place)
    try:
        _copy(str(local), part, move=True)
        if is_folder(place):
            raise IsADirectoryError(21, "is a folder")
        system.delete(target, False)
        if not system.rename(_path(spark, part)[0], target):
            raise OSError(5, f"{part} cannot be renamed")
    except Py4JJavaError as e:
        raise _os_error(e) from e


def leave_folder(local: Path, place: str) -> None:
    """Move a folder of this machine to the URI ``place``, instead of what is there. Raises ``OSError``."""
    target, system = _path(_session(), place)
    try:
        system.delete(target, True)
        _copy(str(local), place, move=True)
    except Py4JJavaError as e:
        raise _os_error(e) from e


def _copy(source: str, target: str, *, move: bool = False) -> None:
    """By streams of the JVM: nothing passes through Python, and no filesystem's own way of uploading is used."""
    spark = _session()
    (from_path, from_system), (to_path, to_system) = (_path(spark, place) for place in (source, target))
    utility: Any = spark._jvm.org.apache.hadoop.fs.FileUtil  # type: ignore[union-attr]
    utility.copy(from_system, from_path, to_system, to_path, move, True, spark._jsc.hadoopConfiguration())


def _path(spark: SparkSession, place: str) -> tuple[Any, Any]:
    """A Hadoop path and its filesystem; a path without a scheme is one of this machine."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(place if SCHEME.match(place) else Path(place).absolute().as_uri())
    return path, path.getFileSystem(spark._jsc.hadoopConfiguration())


def _local(place: str) -> Path:
    return Path(place.removeprefix("file://").removeprefix("file:"))


def _session() -> SparkSession:
    session = SparkSession.getActiveSession()
    if session is None:
        raise OSError("only a running job reads files of another filesystem")
    return session


def _os_error(error: Py4JJavaError) -> OSError:
    """The first line of what Java says; a file that is not there in the words of this machine's own."""
    java = error.java_exception
    if java.getClass().getSimpleName() == "FileNotFoundException":
        return FileNotFoundError(2, "No such file or directory")
    return OSError(5, str(java.getMessage() or java).splitlines()[0])
