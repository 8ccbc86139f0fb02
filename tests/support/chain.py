"""The whole chain by ``./spark-submit.sh``, as a user types it, and its tables in a form that two places can share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from deltalake import DeltaTable
from support.jars import ROOT

from imgsearch.tables import ALL_TABLES, CLUSTERS, TableSpec

N_KINDS, N_VISITS = 7, 12
#: What differs between two runs that are equal: times, ids drawn from a clock or from the last bits of sums.
OWN_TO_A_RUN = {
    "run_id", "seconds", "rows_per_second", "versions_read", "versions_written", "details", "projection_id",
    "codebook_id", "search_id", "label_id",
}  # fmt: skip
#: Where a projection lies; its axes, which turn where variances are nearly equal (vectors are compared).
OWN_TO_A_TABLE = {("projections", "path"), ("projections", "components")}
#: What only some stores have.
OWN_TO_A_STORE = {"etag"}
#: The launcher's option that sends executors their Python and packages.
SHIPPED = ["--ship"]
#: For `file:` where driver and workers are two users: both may write what either makes (conf/standalone/README.md).
OTHER_USER = ["--conf", "spark.hadoop.fs.permissions.umask-mode=000"]
ON_LOOPBACK = {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}
SMALL = [
    "--driver-memory", "1g", "--conf", "spark.sql.shuffle.partitions=2", "--conf", "spark.imgsearch.executorWait=300",
]  # fmt: skip


class Gallery(NamedTuple):
    """``folder``: what every run starts from. ``encoder``: a name for ``--encoder``."""

    folder: Path
    encoder: str


@dataclass(frozen=True)
class Place:
    """Where a chain runs and keeps its files. ``base``: the URI of a folder with pictures/, queries/ and the CSVs.

    ``options``: spark-submit's. ``env``: variables to add.
    """

    base: str
    options: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)

    def submit(self, job: str, *argv: object) -> str:
        """Run a job as a user does; what it printed."""
        return self._run([sys.executable, "-m", "imgsearch", *SMALL, *self.options, job, *map(str, argv)])

    def submit_several(self, *jobs: Sequence[object]) -> str:
        """Run several jobs as one application, with the settings that the launcher makes for a job."""
        from imgsearch.lake.submit import parse_submission
        from imgsearch.launcher import plan
        from imgsearch.shipping import archive_to_ship

        environ = {**os.environ, **ON_LOOPBACK, **self.env}
        submission = parse_submission([*SMALL, *self.options, "export"])
        archive = archive_to_ship(submission.properties(environ)) if submission.has("--ship") else None
        made = plan(submission, environ, memory=8192, terminal=False, archive=archive)
        argv = [str(word) for job in jobs for word in ("+", *job)][1:]
        return self._run([*made.command[:-1], str(Path(__file__).with_name("several_jobs.py")), *argv], made.environ)

    def _run(self, command: Sequence[str], environ: Mapping[str, str] = MappingProxyType({})) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=1800, check=False, cwd="/", stdin=subprocess.DEVNULL,
            env={**os.environ, **ON_LOOPBACK, **self.env, **environ}, umask=0,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-1500:]}\n{done.stderr[-4000:]}"
        return done.stdout


def draw_gallery(folder: Path, draw: Callable[..., Path]) -> None:
    """84 pictures of 7 kinds, two copies, three that cannot be used; 7 queries and a bad one; names and truth."""
    for kind in range(N_KINDS):
        for visit in range(N_VISITS):
            draw(folder / "pictures" / f"kind={kind}" / f"{visit}.png", kind, visit)
        draw(folder / "queries" / f"{kind}.png", kind, 100)
    for name in ("copy.png", "other copy.png"):
        shutil.copy(folder / "pictures" / "kind=0" / "0.png", folder / "pictures" / name)
    (folder / "pictures" / "empty.png").touch()
    (folder / "pictures" / "bad.png").write_text("no picture")
    truncated = (folder / "pictures" / "kind=1" / "0.png").read_bytes()
    (folder / "pictures" / "short.png").write_bytes(truncated[: len(truncated) // 2])
    (folder / "queries" / "bad.png").write_text("no picture")
    every = [(kind, visit) for kind in range(N_KINDS) for visit in range(N_VISITS)]
    rows = [f"kind={kind}/{visit}.png,kind {kind}\n" for kind, visit in every]
    (folder / "labels.csv").write_text(
        "path,label\n" + "".join(row for row in rows if "/0.png" in row or "/1.png" in row)
    )
    (folder / "truth.csv").write_text("path,label\n" + "".join(rows))


def run_chain(place: Place, encoder: str) -> None:
    """All stages in two applications: ``pipeline`` as a user types it, then the jobs that answer and export."""
    base, warehouse = place.base, ("--warehouse", f"{place.base}/w")
    place.submit("pipeline", "--input", f"{base}/pictures", *warehouse, "--encoder", encoder,
                 "--n-clusters", N_KINDS, "--output", f"{base}/first export")  # fmt: skip
    place.submit_several(
        ("label", *warehouse, "--labels", f"{base}/labels.csv"),
        ("search", *warehouse, "--queries", f"{base}/queries", "--top-k", 5, "--output", f"{base}/matches.csv"),
        ("dedup", *warehouse, "--threshold", 0.97, "--output", f"{base}/duplicates.parquet"),
        ("evaluate", *warehouse, "--truth", f"{base}/truth.csv", "--output", f"{base}/metrics.csv"),
        ("export", *warehouse, "--output", f"{base}/export"),
    )


def tables(warehouse: Path, base: str) -> dict[str, pd.DataFrame]:
    """Every table there is, read by delta-rs, in a form in which equal runs are equal.

    Left out is what is a run's own. Paths below ``base`` begin with ``/``. A cluster is called by its medoid, because
    its number comes of the order of seeds, which rounding can change.
    """
    specs = [spec for spec in ALL_TABLES if (warehouse / spec.name / "_delta_log").is_dir()]
    found = {spec.name: DeltaTable(warehouse / spec.name).to_pandas() for spec in specs}
    clusters = found.get(CLUSTERS.name)
    medoids = {} if clusters is None else clusters.set_index("cluster_id")["medoid_id"].to_dict()
    return {spec.name: _comparable(spec, found[spec.name], base, medoids) for spec in specs}


def _comparable(spec: TableSpec, frame: pd.DataFrame, base: str, medoids: dict[int, str]) -> pd.DataFrame:
    own = [c for c in frame.columns if c in OWN_TO_A_RUN | OWN_TO_A_STORE or c.endswith("_at")]
    frame = frame.drop(columns=[*own, *(c for c in frame.columns if (spec.name, c) in OWN_TO_A_TABLE)])
    for column in frame:
        if column in ("cluster_id", "second_cluster_id", "nearest_cluster_id"):
            frame[column] = frame[column].map(medoids)
        elif frame[column].dtype == object:
            frame[column] = [_relative(value, base) for value in frame[column]]
    key = [c for c in spec.key if c in frame]
    if key:
        return frame.sort_values(key, ignore_index=True)
    texts = [c for c in frame if frame[c].dtype == object]
    return frame.sort_values(texts, ignore_index=True, key=lambda column: column.map(repr))


def _relative(value: object, base: str) -> object:
    """``value`` with paths below ``base`` beginning with ``/``: a text, a list (an array), a map (sorted pairs)."""
    if isinstance(value, np.ndarray):
        return [_relative(part, base) for part in value.tolist()]
    if isinstance(value, list):
        return sorted((str(key), _relative(part, base)) for key, part in value)
    if not isinstance(value, str):
        return value
    for form in (base, base.removeprefix("file:").replace("//", "", 1) if base.startswith("file:") else f"file:{base}"):
        value = value.removeprefix(form)
    return value


def differences(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame], tolerance: float = 1e-5) -> list[str]:
    """What differs, a line a column; nothing for equal warehouses. Numbers, packed ones too, within ``tolerance``."""
    lines = [f"{name}: only in one of them" for name in set(one) ^ set(other)]
    for name in sorted(set(one) & set(other)):
        a, b = one[name], other[name]
        if list(a.columns) != list(b.columns) or len(a) != len(b):
            lines.append(f"{name}: {len(a)} rows of {list(a.columns)}, {len(b)} rows of {list(b.columns)}")
            continue
        lines += [f"{name}.{column}" for column in a.columns if not _same(a[column], b[column], tolerance)]
    return lines


def _same(a: pd.Series, b: pd.Series, tolerance: float) -> bool:
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return bool(np.allclose(a.astype(float), b.astype(float), atol=tolerance, rtol=0, equal_nan=True))
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    return all(_same_packed(x, y, tolerance) if isinstance(x, bytes) else _equal(x, y) for x, y in pairs)


def _same_packed(x: bytes, y: object, tolerance: float) -> bool:
    if not isinstance(y, bytes) or len(x) != len(y):
        return False
    return x == y or bool(np.allclose(np.frombuffer(x, "<f4"), np.frombuffer(y, "<f4"), atol=tolerance, rtol=0))


def _equal(x: object, y: object) -> bool:
    return bool(x == y) or (x is None and y is None) or (x != x and y != y)
