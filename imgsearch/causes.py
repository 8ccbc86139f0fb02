"""Failures that a person can mend: how an error shows each, and what is said about it.

``pattern`` is searched in the whole chain of an error (see ``faults``). In ``sentence`` stand the pattern's groups and
``{where}`` (table and path), ``{table}``, ``{file}``, ``{job}`` (the job that writes the table), ``{whole}`` (what the
pattern matched). The order counts: the first that matches is told.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """One kind of failure. ``is_mistake``: it is the user's to mend (exit code 2).

    ``of_a_table``: it is told only where the error names one of our tables.
    """

    pattern: re.Pattern[str]
    sentence: str
    is_mistake: bool = False
    of_a_table: bool = False


def _mistake(pattern: str, sentence: str) -> Cause:
    return Cause(re.compile(pattern), sentence, True)


def _fault(pattern: str, sentence: str, *, of_a_table: bool = False) -> Cause:
    return Cause(re.compile(pattern), sentence, of_a_table=of_a_table)


REPAIR = "put it back from a copy, or remove the table's folder and run `./spark-submit.sh {job}` again"

PLACES = (
    _mistake(
        r"No space left on device|Disk quota exceeded|no space left on the device",
        "no space left on device{where}; make room, then run the same command again: it goes on from there",
    ),
    _mistake(r"Read-only file system", "read-only file system{where}; give a place that can be written"),
    _mistake(
        r"Permission denied|AccessControlException|AccessDenied|PermissionError|403 Forbidden",
        "no permission{where}; give the user that runs Spark the right to it, or another place",
    ),
    _mistake(
        r"ParentNotDirectory|[Nn]ot a directory|NotADirectory|Mkdirs failed|DELTA_CANNOT_CREATE_LOG_PATH",
        "a folder cannot be made{where}; check the path and the right to write there",
    ),
    _mistake(
        r"No FileSystem for scheme \"?(?P<scheme>\w+)|org\.apache\.hadoop\.fs\.(?P<other>s3a)\.\w+ not found",
        "Spark has no filesystem for {scheme}{other}:// paths; bring it, for s3a by "
        "`--packages org.apache.hadoop:hadoop-aws:3.5.0`",
    ),
    _mistake(r"UnknownHostException: (?P<host>[\w.-]+)", "there is no host '{host}'; check the path and the master"),
    _mistake(
        r"Call From \S+ to (?P<address>\S+) failed on connection exception",
        "nothing answers at {address}; is it running, and is the address right?",
    ),
    _mistake(
        r"All masters are unresponsive|Could not parse Master URL[^\n]*",
        "the master does not answer ({whole}); check --master, and that it runs",
    ),
)

JARS = (
    _mistake(
        r"DATA_SOURCE_NOT_FOUND\][^\n]*\bdelta\b"
        r"|ClassNotFoundException: (?:delta|io\.delta|org\.apache\.spark\.sql\.delta)"
        r"|CATALOG_NOT_FOUND[^\n]*delta|Cannot find catalog plugin class[^\n]*delta",
        "this Spark lacks Delta Lake; bring it by `--packages io.delta:delta-spark_4.2_2.13:4.4.0`, or by --jars",
    ),
    _mistake(
        r"(?:NoSuchMethod|NoClassDefFound|AbstractMethod|IncompatibleClassChange|NoSuchField)Error[^\n]*",
        "a jar does not fit this Spark ({whole}); Delta Lake and other jars have to be built for Spark's own release",
    ),
)

WORKERS = (
    _mistake(r"imgsearch: (?P<said>this archive is for [^\n]*)", "{said}"),
    _mistake(
        r"PYTHON_VERSION_MISMATCH\][^\n]*different version: (?P<worker>[\d.]+)[^\n]*driver: (?P<driver>[\d.]*\d)",
        "the workers run Python {worker}, the driver {driver}; give both the same: `--ship` sends the driver's, "
        "`--conf spark.pyspark.python=PATH` names one",
    ),
    _mistake(
        r"Cannot run program \"(?P<program>[^\"]+)\"[^\n]*?error=(?P<number>\d+)",
        "the workers cannot run the Python '{program}' (errno {number}); `--ship` sends one along, "
        "`--conf spark.pyspark.python=PATH` names theirs",
    ),
    _mistake(
        r"[^\n]*(?:error while loading shared libraries|GLIBC_[\d.]+' not found|wrong ELF class|Exec format error"
        r"|cannot execute binary file|invalid ELF header)[^\n]*",
        "the Python that was sent to the workers is for another platform ({whole}); pack it on a machine like theirs",
    ),
    _mistake(
        r"(?:[Pp]ython worker|Traceback)[\s\S]*No module named '?cv2'?",
        "the workers' Python lacks OpenCV, which --augment of dedup and --verify of search need; install "
        'opencv-python-headless there, or `make package ARGS="--with verify"` and run with --ship',
    ),
    _mistake(
        r"(?:[Pp]ython worker|Traceback)[\s\S]*No module named '?(?P<module>[\w.]+)'?",
        "the workers' Python lacks the package '{module}'; `--ship` sends ours along, or install it there",
    ),
    _fault(
        r"OutOfMemoryError: (?P<what>[^\n]*)",
        "a JVM is out of memory ({what}); raise --driver-memory, for a cluster's executors --executor-memory",
    ),
    _fault(
        r"ExecutorLostFailure \(executor (?P<executor>\S+)[\s\S]*?Reason: (?P<reason>[^\n]*)",
        "executor {executor} was lost, and its task with it several times ({reason}); if it was killed for its memory, "
        "raise spark.executor.memoryOverhead or lower --executor-cores",
    ),
    _fault(
        r"CHECKPOINT_RDD_BLOCK_ID_NOT_FOUND",
        "an executor was lost, and what it held with it; run the same command again: it goes on from there",
    ),
    _fault(
        r"Python worker (?:exited|failed to connect|crashed)|EOFException",
        "a Python worker died (killed for its memory, or a crash in native code); raise spark.executor.memoryOverhead, "
        "or run fewer tasks at once (--master local[N], --executor-cores)",
    ),
)

TABLES = (
    _fault(
        r"DELTA_CONCURRENT|DELTA_PROTOCOL_CHANGED|DELTA_METADATA_CHANGED|ConcurrentModificationException",
        "another run wrote {table} at the same time; run the same command again",
    ),
    _fault(
        r"DELTA_VERSIONS_NOT_CONTIGUOUS|DELTA_STATE_RECOVER|DELTA_TRUNCATED_TRANSACTION_LOG|DELTA_LOG_FILE_NOT_FOUND"
        r"|Json\w*Exception|MALFORMED_RECORD|DELTA_MISSING_PART_FILES|DELTA_SCHEMA_NOT_SET|DELTA_TABLE_NOT_FOUND",
        "the log of {table} is damaged or has a gap{file}; " + REPAIR,
        of_a_table=True,
    ),
    _fault(
        r"DELTA_FILE_NOT_FOUND|FILE_NOT_EXIST|CANNOT_READ_FILE_FOOTER|FAILED_READ_FILE|is not a Parquet file",
        "a data file of {table} is missing or damaged{file}; " + REPAIR,
        of_a_table=True,
    ),
)

CAUSES = (*PLACES, *JARS, *WORKERS, *TABLES)
