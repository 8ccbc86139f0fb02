"""Real failures, each told in one line: what happened, to which table and file, and what to do."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from imgsearch.faults import Diagnosis, diagnose, is_stop
from imgsearch.lake.store import TableStore
from imgsearch.tables import IMAGES

Batches = Iterator[pa.RecordBatch]


def failure(work: Callable[[], object]) -> Diagnosis:
    """What is said about the error that ``work`` ends with."""
    with pytest.raises(Exception) as failed:  # noqa: PT011 - any kind is told
        work()
    diagnosis = diagnose(failed.value)
    assert "\n" not in diagnosis.line
    assert "Py4J" not in diagnosis.line
    assert "An error occurred while calling" not in diagnosis.line
    return diagnosis


@contextmanager
def mounted(folder: Path, *commands: list[str]) -> Iterator[Path]:
    """``folder`` with something mounted on it. Skips where this user may not mount."""
    folder.mkdir()
    for command in commands:
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def write(frame: DataFrame, path: Path) -> None:
    frame.write.format("delta").mode("append").save(str(path))


def test_a_full_disk(spark: SparkSession, tmp_path: Path) -> None:
    numbers = "array_join(transform(sequence(1, 20000), x -> cast(rand() * 1e9 as string)), '')"
    large = spark.range(200).selectExpr("id", f"{numbers} AS text").repartition(2)
    with mounted(tmp_path / "full", ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs"]) as full:
        write(spark.range(3), full / "w" / "runs")
        diagnosis = failure(lambda: write(large, full / "w" / "embeddings"))
        assert diagnosis.is_mistake
        assert diagnosis.line.startswith(f"no space left on device (table 'embeddings', {full}/w/embeddings")
        forget_logs(spark)  # the warehouse still opens
        assert spark.read.format("delta").load(str(full / "w" / "runs")).count() == 3


def test_a_read_only_folder(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    bind = ["mount", "--bind", str(tmp_path / "source")]
    with mounted(tmp_path / "read_only", bind, ["mount", "-o", "remount,ro,bind"]) as folder:
        diagnosis = failure(lambda: write(spark.range(3), folder / "w" / "images"))
    assert diagnosis.is_mistake
    assert "table 'images'" in diagnosis.line
    assert str(folder) in diagnosis.line


def test_a_path_under_a_file(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    diagnosis = failure(lambda: write(spark.range(3), tmp_path / "file" / "w" / "images"))
    assert diagnosis.is_mistake
    assert diagnosis.line.startswith("a folder cannot be made (table 'images', ")


def test_a_damaged_log(spark: SparkSession, tmp_path: Path) -> None:
    log = tmp_path / "images" / "_delta_log" / "00000000000000000000.json"
    log.parent.mkdir(parents=True)
    log.write_text("{ this is no commit")
    diagnosis = failure(lambda: spark.table(f"delta.`{tmp_path}/images`").count())
    assert not diagnosis.is_mistake
    assert diagnosis.line.startswith("the log of table 'images' is damaged or has a gap: ")
    assert log.name in diagnosis.line
    assert "`./spark-submit.sh ingest`" in diagnosis.line


def test_a_gap_in_the_log(spark: SparkSession, tmp_path: Path) -> None:
    for _ in range(4):
        write(spark.range(2), tmp_path / "images")
    (tmp_path / "images" / "_delta_log" / "00000000000000000001.json").unlink()
    forget_logs(spark)
    diagnosis = failure(lambda: TableStore.open(spark, str(tmp_path)).read(IMAGES))
    assert diagnosis.line.startswith("the log of table 'images' is damaged")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1 and no more of it")])
def test_a_missing_or_damaged_data_file(damage: Callable[[Path], object], spark: SparkSession, tmp_path: Path) -> None:
    write(spark.range(2).coalesce(1), tmp_path / "vectors")
    for path in (tmp_path / "vectors").glob("*.parquet"):
        damage(path)
    for path in (tmp_path / "vectors").glob(".*.crc"):
        path.unlink()
    diagnosis = failure(lambda: spark.table(f"delta.`{tmp_path}/vectors`").selectExpr("sum(id)").collect())
    assert diagnosis.line.startswith("a data file of table 'vectors' is missing or damaged: ")
    assert ".parquet" in diagnosis.line
    assert "`./spark-submit.sh compress`" in diagnosis.line


def forget_logs(spark: SparkSession) -> None:
    """Delta's cache of logs is emptied, as in a new application."""
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]


def test_a_source_that_this_spark_lacks(spark: SparkSession) -> None:
    diagnosis = failure(lambda: spark.read.format("delta.nope").load("/x"))
    assert "delta.nope" in diagnosis.line or "lacks Delta Lake" in diagnosis.line


def test_no_filesystem_for_a_scheme(spark: SparkSession) -> None:
    diagnosis = failure(lambda: spark.read.parquet("s3a://bucket/x"))
    assert diagnosis.is_mistake
    assert "--packages org.apache.hadoop:hadoop-aws" in diagnosis.line


def run_in_worker(spark: SparkSession, work: Callable[[Batches], Batches]) -> Diagnosis:
    return failure(lambda: spark.range(1).coalesce(1).mapInArrow(work, "id bigint").collect())


def test_errors_of_python_workers(spark: SparkSession) -> None:
    def full(batches: Batches) -> Batches:
        raise OSError(28, "No space left on device", "/scratch/x")
        yield from batches

    def lacking(batches: Batches) -> Batches:
        import no_such_module  # noqa: F401

        yield from batches

    def without_opencv(batches: Batches) -> Batches:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        yield from batches

    def faulty(batches: Batches) -> Batches:
        raise KeyError("image_id")
        yield from batches

    assert run_in_worker(spark, full).line.startswith("no space left on device (/scratch/x)")
    assert "the workers' Python lacks the package 'no_such_module'" in run_in_worker(spark, lacking).line
    assert 'make package ARGS="--with verify"' in run_in_worker(spark, without_opencv).line
    assert run_in_worker(spark, faulty) == Diagnosis("KeyError: 'image_id'", False)


def test_a_killed_python_worker(spark: SparkSession) -> None:
    def die(batches: Batches) -> Batches:
        os.kill(os.getpid(), signal.SIGKILL)
        yield from batches

    diagnosis = run_in_worker(spark, die)
    assert diagnosis.line.startswith("a Python worker died")
    assert not diagnosis.is_mistake


@pytest.mark.parametrize(
    ("text", "line", "is_mistake"),
    [
        (
            "[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.9 than that in driver: 3.11, PySpark",
            "the workers run Python 3.9, the driver 3.11; ", True,
        ),
        (
            'java.io.IOException: Cannot run program "./env/bin/python": error=2, No such file or directory',
            "the workers cannot run the Python './env/bin/python' (errno 2); ", True,
        ),
        (
            "Error from python worker:\n  ./env/bin/python: error while loading shared libraries: libpython3.so: x",
            "the Python that was sent to the workers is for another platform (./env/bin/python: error while", True,
        ),
        (
            "Job aborted: ExecutorLostFailure (executor 1 exited caused by one of the running tasks) "
            "Reason: Command exited with code 137\nDriver stacktrace:",
            "executor 1 was lost, and its task with it several times (Command exited with code 137); ", False,
        ),
        ("java.lang.OutOfMemoryError: Java heap space", "a JVM is out of memory (Java heap space); ", False),
        (
            "java.lang.NoSuchMethodError: 'void org.apache.spark.sql.X.y()'",
            "a jar does not fit this Spark (NoSuchMethod", True,
        ),
        ("java.net.UnknownHostException: nowhere.example", "there is no host 'nowhere.example'; ", True),
        ("[DELTA_CONCURRENT_APPEND] at file:/w/images", "another run wrote table 'images' at the same time; ", False),
    ],
)  # fmt: skip
def test_sentences(text: str, line: str, is_mistake: bool) -> None:
    diagnosis = diagnose(RuntimeError(text))
    assert diagnosis.line.startswith(line)
    assert diagnosis.is_mistake == is_mistake


class UnreadableError(Exception):
    """As Py4J's error: its text is asked from the JVM."""

    def __str__(self) -> str:
        raise ConnectionRefusedError(111, "Connection refused")


def test_an_error_of_a_jvm_that_is_gone_is_a_stop() -> None:
    assert is_stop(UnreadableError())
    assert diagnose(UnreadableError()).line == "UnreadableError: its text cannot be read: ConnectionRefusedError"


def test_a_stop_is_no_fault() -> None:
    assert is_stop(RuntimeError("Job 3 cancelled because SparkContext was shut down"))
    assert is_stop(RuntimeError('the return value of "org.apache.spark.SparkContext.dagScheduler()" is null'))
    assert is_stop(ConnectionRefusedError(111, "Connection refused"))
    assert not is_stop(ValueError("rows lost"))
