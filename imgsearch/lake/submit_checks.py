"""Mistakes in what spark-submit is given that this machine can see: told in one line, before a JVM starts."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path

from imgsearch.errors import UserError
from imgsearch.places import local_path

#: Masters that spark-submit knows.
MASTER = re.compile(r"local|local\[(\*|\d+)(, *\d+)?\]|local-cluster\[.+\]|yarn|spark://.+|k8s://.+")
#: Settings that name files of this machine, and the option of each.
FILES = {
    "spark.jars": "--jars", "spark.submit.pyFiles": "--py-files",
    "spark.files": "--files", "spark.archives": "--archives",
}  # fmt: skip
CONNECT_SECONDS = 5.0


def check_submission(settings: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Look at the master and at each local file. Raises ``UserError``."""
    master = settings.get("spark.master", "local[*]")
    if not MASTER.fullmatch(master):
        raise UserError(
            f"--master {master}: Spark knows no such master; give local[N], spark://HOST:PORT, yarn or k8s://HOST:PORT"
        )
    if master == "yarn" and not (environ.get("HADOOP_CONF_DIR") or environ.get("YARN_CONF_DIR")):
        raise UserError("--master yarn: set HADOOP_CONF_DIR to the folder with core-site.xml and yarn-site.xml")
    for key, option in FILES.items():
        for place in settings.get(key, "").split(","):
            path = local_path(place.strip().split("#")[0]) if place.strip() else None
            if path is not None and not _is_there(path):
                raise UserError(f"{option} {place}: there is no such file")
    if master.startswith("spark://"):
        _require_answer(master)


def _is_there(path: Path) -> bool:
    return path.exists() or ("*" in path.name and any(path.parent.glob(path.name)))


def _require_answer(master: str) -> None:
    """Of the masters ``spark://HOST:PORT[,HOST:PORT…]`` one has to take a connection."""
    problems = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"--master {master}: must be spark://HOST:PORT, such as spark://head:7077")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
            return
        except OSError as e:
            problems.append(f"{address} ({e.strerror or e})")
    raise UserError(f"--master {master}: nothing answers at {', '.join(problems)}; is the master running?")
