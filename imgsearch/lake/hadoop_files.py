"""Files of every filesystem that Hadoop's API speaks: hdfs, s3a, abfs, gs, viewfs, …

``HadoopFiles.java`` does the work in the JVM: pages of a listing on the driver, status and bytes on the executors. It
is compiled by Janino, the compiler that every Spark brings for its own generated code, the first time a session meets
a URI (about 2 s), and goes to the executors as a jar. Spark's own ``binaryFile`` will not do: it drops names that
begin with ``_`` or ``.`` and files without bytes, holds the status of every file on the driver, asks the store about
five times a file, and one file that cannot be read ends its job.

What one image costs in requests: a share of a listing page (1,000 names of HDFS or S3) and one GET (S3) or one
``open`` of the NameNode (HDFS); where a table names paths, one HEAD (or ``getFileStatus``) too.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.json
from py4j.protocol import Py4JJavaError
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from imgsearch.errors import UserError
from imgsearch.lake.local_files import LISTING, PAGE_ROWS, without_nested
from imgsearch.places import GLOB

SOURCE = resources.files("imgsearch.lake") / "HadoopFiles.java"
STATUS = "n_bytes bigint, modified_ms bigint, etag string, reason string, detail string"
CONTENT = "content binary, reason string, detail string"
LINE = pa.schema(
    [
        ("path", pa.string()),
        ("n_bytes", pa.int64()),
        ("modified_ms", pa.int64()),
        ("etag", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


class Compiled(NamedTuple):
    """The classes of ``HadoopFiles.java`` in the JVM of one application."""

    application: str
    loader: Any

    def of(self, name: str = "") -> Any:
        """``HadoopFiles`` itself, or the class in it of that name."""
        return self.loader.loadClass("imgsearch.HadoopFiles" + (f"${name}" if name else ""))


_compiled: list[Compiled] = []


def list_remote(spark: SparkSession, where: str, option: str = "input") -> tuple[str, bool, Iterator[pa.Table]] | None:
    """A folder's, glob's or file's listing: root, whether it is one folder, and pages of ``LISTING``.

    ``None`` where there is nothing. Raises ``UserError`` where the filesystem does not answer.
    """
    classes, conf = compiled(spark), spark._jsc.hadoopConfiguration()
    try:
        tops = without_nested(list(_static(spark, classes, "resolve", where, conf)))
        if not tops:
            return None
        single = len(tops) == 1 and (tops[0].rstrip("/") == where.rstrip("/") or not GLOB.search(where))
        is_folder = single and bool(_static(spark, classes, "isFolder", tops[0], conf))
    except Py4JJavaError as e:
        sentence = _static(spark, classes, "sentence", where, e.java_exception)
        raise UserError(
            f"--{option} {where}: {sentence}; check the name, and the settings of this filesystem"
        ) from None
    root = tops[0].rstrip("/") if is_folder else (tops[0] if single else GLOB.split(where)[0]).rsplit("/", 1)[0]
    return root, is_folder, _pages(spark, classes, tops, conf)


def _pages(spark: SparkSession, classes: Compiled, tops: list[str], conf: Any) -> Iterator[pa.Table]:
    source = _new(spark, classes.of("Pages"), _array(spark, spark._jvm.java.lang.String, tops), conf)  # type: ignore[union-attr]
    while lines := source.next(PAGE_ROWS):
        table = pyarrow.json.read_json(
            io.BytesIO(lines.encode()),
            read_options=pyarrow.json.ReadOptions(block_size=1 << 24),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=LINE),
        )
        modified = table.column("modified_ms").cast(pa.timestamp("ms", tz="UTC")).cast(LISTING.field(2).type)
        yield table.set_column(2, "modified_at", modified).cast(LISTING)


def status_column(spark: SparkSession, path: Column) -> Column:
    """A struct of ``STATUS`` for each path, asked for on the executors."""
    return _udf(spark, "Status", STATUS)(path)


def content_column(spark: SparkSession, path: Column, n_bytes: Column, max_bytes: int) -> Column:
    """A struct of ``CONTENT`` for each path, read on the executors. ``n_bytes``: what the listing says, or null."""
    return _udf(spark, "Content", CONTENT, max_bytes)(path, n_bytes.cast("bigint"))


def _udf(spark: SparkSession, name: str, ddl: str, *arguments: Any) -> Any:
    """A Java UDF over the Hadoop settings (and credentials) that this session has now."""
    settings = spark._jvm.org.apache.spark.util.SerializableConfiguration(  # type: ignore[union-attr]
        spark._jsparkSession.sessionState().newHadoopConf()
    )
    shared = spark._jsc.broadcast(settings)
    instance = _new(spark, compiled(spark).of(name), shared, *arguments)
    registered = f"imgsearch_{name.lower()}"
    kind = spark._jsparkSession.parseDataType(T.StructType.fromDDL(ddl).json())
    spark._jsparkSession.udf().register(registered, instance, kind)
    return lambda *columns: F.call_udf(registered, *columns)


def compiled(spark: SparkSession) -> Compiled:
    """The compiled classes, made once an application and sent to its executors."""
    application = spark.sparkContext.applicationId
    if not _compiled or _compiled[0].application != application:
        compiler = spark._jvm.org.codehaus.janino.SimpleCompiler()  # type: ignore[union-attr]
        compiler.cook(SOURCE.read_text(encoding="utf-8"))
        classes = compiler.getBytecodes()
        jar = Path(tempfile.mkdtemp(prefix="imgsearch-")) / "imgsearch-hadoop-files.jar"
        with zipfile.ZipFile(jar, "w") as archive:
            for name in classes:
                archive.writestr(name.replace(".", "/") + ".class", bytes(classes[name]))
        spark.sparkContext._jsc.addJar(str(jar))
        _compiled[:] = [Compiled(application, compiler.getClassLoader())]
    return _compiled[0]


def _array(spark: SparkSession, kind: Any, values: list[Any] | tuple[Any, ...]) -> Any:
    array = spark.sparkContext._gateway.new_array(kind, len(values))  # type: ignore[union-attr]
    for i, value in enumerate(values):
        array[i] = value
    return array


def _new(spark: SparkSession, java_class: Any, *arguments: Any) -> Any:
    """An instance by the class's only constructor (py4j itself does not see classes of another loader)."""
    values = _array(spark, spark._jvm.java.lang.Object, arguments)  # type: ignore[union-attr]
    return java_class.getConstructors()[0].newInstance(values)


def _static(spark: SparkSession, classes: Compiled, name: str, *arguments: Any) -> Any:
    """What the static method of that name returns."""
    values = _array(spark, spark._jvm.java.lang.Object, arguments)  # type: ignore[union-attr]
    method = next(m for m in classes.of().getMethods() if m.getName() == name)
    try:
        return method.invoke(None, values)
    except Py4JJavaError as e:  # the reflection's own exception; what matters is what the method threw
        cause = e.java_exception.getCause()
        if cause is not None:
            e.java_exception = cause
        raise
