"""Small files beside the tables that several runs share, on a local disk or on any filesystem that Hadoop knows.

The one thing needed of a filesystem is that creating a file that must not exist yet is atomic. A local disk does it by
``link`` (Hadoop's own local filesystem checks first and creates then, so two processes can both succeed); HDFS, ABFS
and GCS do it themselves; S3A does it by a conditional request where the store knows them.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, Protocol, cast

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession


class SharedFolder(Protocol):
    """Files in one folder, by name. Times are seconds by the clock of the filesystem."""

    def names(self) -> list[str]:
        """What is in it, files and folders; nothing where the folder is missing."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that must not exist yet; whether this call made it. The folder is made too."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whether it exists or not; its time becomes now."""

    def read(self, name: str) -> bytes | None:
        """A file's bytes, or ``None`` where it is missing."""

    def modified(self, name: str) -> float | None:
        """When the file was written last, or ``None`` where it is missing."""

    def remove(self, name: str) -> None:
        """Remove a file, a link (not what it leads to) or a folder with all in it; nothing where it is missing."""

    def now(self) -> float:
        """The filesystem's time."""


class LocalFolder:
    """A folder that this process opens by itself (a disk, NFS)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """See ``SharedFolder``."""
        try:
            return os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def create(self, name: str, data: bytes) -> bool:
        """See ``SharedFolder``."""
        part = self._part(data)
        try:
            os.link(part, self.path / name)
        except FileExistsError:
            return False
        finally:
            part.unlink()
        return True

    def write(self, name: str, data: bytes) -> None:
        """See ``SharedFolder``."""
        self._part(data).replace(self.path / name)

    def read(self, name: str) -> bytes | None:
        """See ``SharedFolder``."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def modified(self, name: str) -> float | None:
        """See ``SharedFolder``."""
        try:
            return (self.path / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """See ``SharedFolder``."""
        path = self.path / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def now(self) -> float:
        """See ``SharedFolder``."""
        part = self._part(b"")
        try:
            return part.stat().st_mtime
        finally:
            part.unlink()

    def _part(self, data: bytes) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f".{uuid.uuid4().hex}.part"
        part.write_bytes(data)
        return part


class HadoopFolder:
    """A folder on a filesystem that Spark's JVM reaches."""

    def __init__(self, spark: SparkSession, location: str) -> None:
        self._jvm = cast(Any, spark._jvm)
        self.path = self._jvm.org.apache.hadoop.fs.Path(location)
        self._fs = self.path.getFileSystem(spark._jsc.hadoopConfiguration())

    def _at(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(self.path, name)

    def names(self) -> list[str]:
        """See ``SharedFolder``."""
        listed = self._status(self._fs.listStatus, self.path)
        return [] if listed is None else [status.getPath().getName() for status in listed]

    def create(self, name: str, data: bytes) -> bool:
        """See ``SharedFolder``."""
        self._fs.mkdirs(self.path)
        try:
            builder = self._fs.createFile(self._at(name)).overwrite(False)
            stream = builder.opt("fs.option.create.conditional.overwrite", "true").build()
            stream.write(bytearray(data))
            stream.close()
        except Py4JJavaError as e:
            if self._fs.exists(self._at(name)):
                return False
            raise OSError(str(e.java_exception)) from e
        return True

    def write(self, name: str, data: bytes) -> None:
        """See ``SharedFolder``."""
        stream = self._fs.create(self._at(name), True)
        stream.write(bytearray(data))
        stream.close()

    def read(self, name: str) -> bytes | None:
        """See ``SharedFolder``."""
        stream = self._status(self._fs.open, self._at(name))
        if stream is None:
            return None
        try:
            return bytes(stream.readAllBytes())
        finally:
            stream.close()

    def modified(self, name: str) -> float | None:
        """See ``SharedFolder``."""
        status = self._status(self._fs.getFileStatus, self._at(name))
        return None if status is None else status.getModificationTime() / 1000

    def remove(self, name: str) -> None:
        """See ``SharedFolder``."""
        self._fs.delete(self._at(name), True)

    def now(self) -> float:
        """See ``SharedFolder``."""
        name = f".{uuid.uuid4().hex}.now"
        self.write(name, b"")
        try:
            return self.modified(name) or time.time()
        finally:
            self.remove(name)

    @staticmethod
    def _status(ask: Any, path: Any) -> Any:
        try:
            return ask(path)
        except Py4JJavaError as e:
            if e.java_exception.getClass().getSimpleName() == "FileNotFoundException":
                return None
            raise OSError(str(e.java_exception)) from e


def local_path(spark: SparkSession, location: str) -> Path | None:
    """``location`` as this machine opens it, or ``None`` where it lies on another filesystem than a local one."""
    path = spark._jvm.org.apache.hadoop.fs.Path(location)  # type: ignore[union-attr]
    if path.getFileSystem(spark._jsc.hadoopConfiguration()).getUri().getScheme() != "file":
        return None
    return Path(path.toUri().getPath())


def shared_folder(spark: SparkSession, location: str) -> LocalFolder | HadoopFolder:
    """The folder at ``location``, a path or a URI."""
    path = local_path(spark, location)
    return HadoopFolder(spark, location) if path is None else LocalFolder(path)
