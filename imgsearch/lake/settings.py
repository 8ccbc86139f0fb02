"""Which Spark settings a run adds to what the user gave. A setting that the user made is never made again.

Two settings hold lists and are merged: ``spark.sql.extensions`` gets Delta's line beside the user's, ``spark.jars``
Delta's jars, unless the user brings Delta.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from imgsearch.lake.submit import read_properties

DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
#: What brings Delta where its jars are not at hand.
DELTA_VERSION = "4.4.0"
DELTA_PACKAGE = f"io.delta:delta-spark_4.2_2.13:{DELTA_VERSION}"
#: The Spark that ``DELTA_PACKAGE`` is built for.
SPARK_VERSION = "4.2"
CHECKOUT = Path(__file__).resolve().parent.parent.parent


def package_conf(name: str) -> Traversable:
    """A file of ``imgsearch/conf``, from a folder, a wheel or a zip."""
    return files("imgsearch").joinpath("conf", name)


def quiet_log(environ: Mapping[str, str], spark_home: str) -> dict[str, str]:
    """``SPARK_SUBMIT_OPTS`` with a quiet log, where the user's installation has no log4j2 file of its own."""
    if (Path(environ.get("SPARK_CONF_DIR") or f"{spark_home}/conf") / "log4j2.properties").is_file():
        return {}
    quiet = f"-Dlog4j2.configurationFile=file:{package_conf('log4j2.properties')}"
    options = environ.get("SPARK_SUBMIT_OPTS", "")
    return {} if "log4j2.configurationFile" in options else {"SPARK_SUBMIT_OPTS": f"{quiet} {options}".strip()}


def spark_defaults() -> dict[str, str]:
    """The package's own ``spark-defaults.conf``."""
    return read_properties(package_conf("spark-defaults.conf").read_text(encoding="utf-8"))


def session_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """What a session needs beside ``settings``: the package's defaults, Delta's extension, partitions that fit.

    >>> session_settings({"spark.master": "local[3]"})["spark.sql.shuffle.partitions"]
    '6'
    >>> session_settings({"spark.sql.extensions": "org.x.Y"})["spark.sql.extensions"]
    'org.x.Y,io.delta.sql.DeltaSparkSessionExtension'
    """
    defaults = spark_defaults()
    slots = local_slots(settings.get("spark.master", "local[*]"))
    if slots is not None:  # Spark's default of 200 is for clusters
        defaults["spark.sql.shuffle.partitions"] = str(2 * slots)
        # A local master offers its slots when a task ends, and never again: beside cached rows, a file of HDFS that
        # waits to be read on its own host waits for ever (SPARK-4939).
        defaults["spark.locality.wait"] = "0s"
    added = {key: value for key, value in defaults.items() if key not in settings}
    extensions = settings.get("spark.sql.extensions", "")
    if extensions and DELTA_EXTENSION not in extensions:
        added["spark.sql.extensions"] = f"{extensions},{DELTA_EXTENSION}"
    return added


def delta_settings(settings: Mapping[str, str], jars: Sequence[str], installed: Sequence[str] = ()) -> dict[str, str]:
    """Delta's jars beside the user's own, or its package where there are no ``jars`` at hand; nothing where the user
    brings Delta, or Spark has it (``installed``: names of the files in its ``jars`` folder).

    >>> delta_settings({"spark.jars": "x.jar"}, ["/d/delta-spark.jar"])
    {'spark.jars': '/d/delta-spark.jar,x.jar'}
    >>> delta_settings({"spark.jars.packages": "io.delta:delta-spark_2.13:4.0.0"}, ["/d/delta-spark.jar"])
    {}
    """
    own = settings.get("spark.jars", "")
    on_path = re.split(r"[,:]", settings.get("spark.driver.extraClassPath", ""))
    packages = settings.get("spark.jars.packages", "")
    names = [re.split(r"[/\\]", jar)[-1] for jar in [*own.split(","), *on_path]]
    if "io.delta:delta-" in packages or any(name.startswith("delta-spark") for name in [*names, *installed]):
        return {}
    if jars:
        return {"spark.jars": ",".join([*jars, own] if own else jars)}
    return {"spark.jars.packages": f"{DELTA_PACKAGE},{packages}" if packages else DELTA_PACKAGE}


def local_slots(master: str) -> int | None:
    """Tasks that a local master runs at once; ``None`` for a cluster.

    >>> local_slots("local"), local_slots("local[3]"), local_slots("local[2,4]"), local_slots("yarn")
    (1, 3, 2, None)
    """
    if master == "local":
        return 1
    match = re.match(r"local\[(\*|\d+)", master)
    if match is None:
        return None
    return (os.cpu_count() or 1) if match[1] == "*" else int(match[1])


def delta_jars() -> list[str]:
    """Delta's jars as ``setup.sh`` brought them into the checkout; empty elsewhere."""
    return [str(path) for path in sorted((CHECKOUT / ".cache" / "jars").glob(f"*/delta-*-{DELTA_VERSION}.jar"))]
