"""``--ship``: executors get their whole Python from an archive (``make package``); it is made where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from imgsearch.errors import UserError
from imgsearch.lake.archive import CODE, archive_name, check_archive
from imgsearch.lake.package import code_id
from imgsearch.lake.settings import CHECKOUT

#: The folder that Spark unpacks the archive into, beside an executor's other files.
FOLDER = "env"


def ship_settings(archive: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings that send ``archive`` beside the archives in ``settings``, and make workers use its Python.

    >>> ship_settings(Path("/a/e.tar.gz"), {"spark.archives": "x.zip"})["spark.archives"]
    '/a/e.tar.gz#env,x.zip'
    """
    own = settings.get("spark.archives", "")
    added = {"spark.archives": f"{archive}#{FOLDER}" + (f",{own}" if own else "")}
    python = f"./{FOLDER}/bin/python"
    if settings.get("spark.submit.deployMode", "client") == "client":
        added["spark.pyspark.driver.python"] = settings.get("spark.pyspark.driver.python", sys.executable)
    added["spark.pyspark.python"] = settings.get("spark.pyspark.python", python)
    return added | {f"spark.executorEnv.{CODE}": code_id()}


def archive_to_ship(settings: Mapping[str, str]) -> Path:
    """The newest archive for this Python, built if it is missing or of other code. Raises ``UserError``.

    Where the driver runs on the cluster too (``--deploy-mode cluster``), it is the one for drivers.
    """
    group = "executor" if settings.get("spark.submit.deployMode", "client") == "client" else "driver"
    archives = _archives(group)
    if archives:
        try:
            check_archive(archives[-1])
            return archives[-1]
        except UserError:
            if not (CHECKOUT / "archive" / "build.py").is_file():
                raise
    return _build(group)


def _archives(group: str) -> list[Path]:
    """Those in ``dist``, oldest first."""
    found = (CHECKOUT / "dist").glob(archive_name("[0-9]*", group))
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _build(group: str) -> Path:
    if not (CHECKOUT / "archive" / "build.py").is_file():
        raise UserError(
            "--ship: there is no archive here, and only a checkout can make one; give it by --archives FILE#env"
        )
    print(
        f"imgsearch: making the archive that {group}s get (once for each state of the code)",
        file=sys.stderr,
        flush=True,
    )
    uv = subprocess.run(["bash", "setup.sh", "uv"], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    done = subprocess.run(
        [sys.executable, "-m", "archive.build", "--uv", uv.strip(), "--for", group],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"--ship: the archive could not be made ({reason}); `make package` shows more")
    return _archives(group)[-1]
