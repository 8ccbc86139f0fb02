"""The jars of the test bed (``tests/cluster/ivy.xml``): brought once by pyspark's own Ivy, kept in ``.cache/jars``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPENDENCIES = ROOT / "tests" / "cluster" / "ivy.xml"


def spark_home() -> Path:
    """The folder of the installed pyspark: its own ``bin/`` and ``jars/``."""
    spec = importlib.util.find_spec("pyspark")
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ())))


def java_home() -> Path:
    """The Java that runs here."""
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else shutil.which("java")
    if java is None:
        pytest.skip("there is no java on PATH")
    return Path(java).resolve().parents[1]


def bring(kind: str) -> list[Path]:
    """The jars of one ``<conf>`` of ``ivy.xml``. Skips the test where Maven Central cannot be reached."""
    folder = ROOT / ".cache" / "jars" / f"{kind}-{zlib.crc32(DEPENDENCIES.read_bytes()):08x}"
    complete = folder / ".complete"
    if not complete.exists():
        done = subprocess.run(
            [java_home() / "bin" / "java", "-cp", f"{spark_home()}/jars/*", "org.apache.ivy.Main",
             "-cache", ROOT / ".cache" / "ivy", "-ivy", DEPENDENCIES, "-confs", kind, "-types", "jar", "bundle",
             "-retrieve", f"{folder}/[artifact]-[revision].[ext]"],
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        if done.returncode != 0 or not list(folder.glob("*.jar")):
            pytest.skip(
                f"Ivy could not bring the jars '{kind}' from Maven Central: {(done.stdout + done.stderr)[-500:]}"
            )
        complete.touch()
    return sorted(folder.glob("*.jar"))
