"""Does a driver hold the lake? Every job over 100,000, 1,000,000 and 5,000,000 images, with a driver of 2 GB.

    make bench-scale                                                     # all sizes, all jobs: hours
    PYTHONPATH=. python benchmarks/scale.py --sizes 100000               # minutes
    PYTHONPATH=. python benchmarks/scale.py --sizes 1000000 --jobs dedup evaluate   # some jobs, the same data
    PYTHONPATH=. python benchmarks/scale.py --pictures 20000             # ingest, embed, and ten small ingests
    PYTHONPATH=. python benchmarks/scale.py --sizes --claims             # only what the results so far say

Each job is a process of its own, on Spark's ``local-cluster``: the driver's JVM is not an executor, so its memory is
the driver's. It collects garbage serially, with 192 MB for new objects, so that what it holds is not hidden by what it
has not yet thrown away. Peaks are those of the resident set (``VmHWM``), sampled from ``/proc`` twice a second: driver
JVM, driver Python, the largest executor JVM and the largest Python worker. ``cpu_seconds`` is the CPU time of all of
them, start and end included: it says more than seconds where others work on the machine too. ``written`` is what the
warehouse grew by.
Results are merged into ``benchmarks/results/scale.json``; the warehouses stay in ``--folder`` and are gone on with.
Where the data come from: ``scale_data.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(HERE))
from measure import RESULTS, TICKS, claim, descendants, peak_mb  # noqa: E402

SIZES = (100_000, 1_000_000, 5_000_000)
START = 2_000  # a warehouse so small that its jobs cost their fixed start
CROWD = 10_000
N_CLUSTERS = 256
N_LABELS, N_QUERIES = 2_000, 1_000
ADDED = ("grow", "compress_added", "assign_added")
JOBS = ("make", "compress", "cluster", "label", "search", "dedup", "evaluate", "calibrate", "export", *ADDED)
SMALL_INGESTS, SMALL = 10, 20
SETTINGS = {
    "spark.master": "local-cluster[2,1,1536]", "spark.executor.memory": "1536m", "spark.driver.memory": "2g",
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -Xmn192m", "spark.sql.shuffle.partitions": "64",
    "spark.ui.showConsoleProgress": "false",
}  # fmt: skip


def child(name: str, size: int, folder: Path) -> None:
    """One job, in this process."""
    os.environ.setdefault("SPARK_HOME", str(_spark_home()))
    from imgsearch.lake.session import build_session

    settings = dict(SETTINGS)
    if name in ("pictures", "embed_pictures") or name.startswith("small_"):
        settings |= {"spark.master": "local-cluster[2,1,1024]", "spark.executor.memory": "1024m"}
    spark = build_session(f"scale {name}", **{k.replace(".", "__"): v for k, v in settings.items()})
    spark.range(1).count()  # executors are there
    started = time.perf_counter()
    rows = _run(spark, name, size, folder)
    seconds = time.perf_counter() - started
    print(f"figures {json.dumps({'seconds': seconds, 'rows': rows})}", flush=True)
    spark.stop()


def _run(spark: Any, name: str, size: int, folder: Path) -> int:
    import scale_data

    from imgsearch.job import JOBS as ALL

    warehouse = str(folder / "w")
    more = size + size // 100
    if name in ("make", "grow"):
        real = scale_data.bases(folder.parent)
        crowd = min(CROWD, size // 100)
        span = (0, size) if name == "make" else (size, more)
        scale_data.grow(spark, warehouse, real, *span, crowd)
        if name == "make":
            scale_data.write_truth(spark, warehouse, folder, N_LABELS, N_QUERIES, size)
        return span[1] - span[0]
    options: dict[str, dict[str, Any]] = {
        "compress": {"n_components": scale_data.DIM}, "compress_added": {},
        "cluster": {"n_clusters": str(min(N_CLUSTERS, size // 20))}, "assign_added": {},
        "label": {"labels": str(folder / "labels.csv")},
        "search": {"queries": str(folder / "queries.csv"), "exclude_self": True},
        "dedup": {}, "evaluate": {"truth": str(folder / "truth.csv")},
        "calibrate": {"truth": str(folder / "truth.csv"), "target_precision": 0.8},
        "export": {"output": str(folder / "export")},
        "ingest_pictures": {"input": str(folder / "pictures")}, "embed_pictures": {},
        **{f"small_ingest_{i}": {"input": str(folder / "pictures")} for i in range(1, SMALL_INGESTS + 1)},
        **{f"small_embed_{i}": {} for i in range(1, SMALL_INGESTS + 1)},
    }  # fmt: skip
    job = next(j for j in ALL if j in name.replace("assign", "cluster"))
    config = ALL[job].settings()(warehouse=warehouse, **options[name])
    module, _, function = ALL[job].run.partition(":")
    summary = getattr(__import__(module, fromlist=[function]), function)(spark, config)
    print(summary, flush=True)
    return int(summary.rows_in)


def _spark_home() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent


def measured(name: str, size: int, folder: Path) -> dict[str, Any]:
    """One job in a process of its own: its seconds and peaks. Raises ``RuntimeError`` where it failed."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _bytes_in(folder / "w")
    log = folder / f"{name}.log"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{HERE}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(HERE / "scale.py"), "--child", name, "--sizes", str(size), "--folder", str(folder)]
    peaks: dict[str, float] = {}
    started = time.perf_counter()
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            _sample(process.pid, peaks)
            time.sleep(0.5)
    whole = time.perf_counter() - started
    text = log.read_text()
    found = [line for line in text.splitlines() if line.startswith("figures ")]
    if process.returncode or not found:
        raise RuntimeError(f"{name} over {size:,} failed ({process.returncode}): {log}\n{text[-1500:]}")
    figures = json.loads(found[0].removeprefix("figures "))
    figures["cpu_seconds"] = round(peaks.pop("cpu_seconds", 0.0), 1)
    figures |= {f"{kind}_mb": round(value, 1) for kind, value in sorted(peaks.items())}
    figures |= {"whole_seconds": round(whole, 1), "seconds": round(figures["seconds"], 2)}
    figures |= {"written": _bytes_in(folder / "w") - before, "load": os.getloadavg()[0]}
    print(f"{size:>10,} {name:<16} {_line(figures)}", flush=True)
    return dict(figures)


def _line(figures: dict[str, Any]) -> str:
    peaks = "  ".join(f"{k.removesuffix('_mb')} {v:,.0f}" for k, v in figures.items() if k.endswith("_mb"))
    times = f"{figures['seconds']:8.1f} s (cpu {figures['cpu_seconds']:,.1f})"
    return f"{times}  {peaks} MB  written {figures['written'] / 1e6:,.0f} MB"


def _sample(pid: int, peaks: dict[str, float]) -> None:
    """Raise each kind of process to its peak so far, and ``cpu_seconds`` to what all of them have used."""
    processes = descendants(pid)
    peaks["cpu_seconds"] = max(peaks.get("cpu_seconds", 0.0), sum(processes.values()) / TICKS)
    for one in processes:
        try:
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            kind = "driver_python" if one == pid else _kind(command)
            if kind is not None:
                peaks[kind] = max(peaks.get(kind, 0.0), peak_mb(one))
        except (OSError, StopIteration):  # it has ended since
            continue


def _kind(command: bytes) -> str | None:
    if b"CoarseGrainedExecutorBackend" in command:
        return "executor_jvm"
    if b"org.apache.spark.deploy.SparkSubmit" in command:
        return "driver_jvm"
    return "worker" if b"pyspark.daemon" in command or b"pyspark/daemon" in command else None


def _bytes_in(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder.exists() else 0


def sizes(wanted: Iterable[int], jobs: Iterable[str], folder: Path) -> None:
    """Run the jobs at each size, on the warehouse that an earlier run left."""
    jobs = list(jobs)
    for size in wanted:
        place = folder / str(size)
        for name in [j for j in JOBS if j in jobs]:
            if name in ("make", "grow") and _made(size).get(name) and (place / "w").is_dir():
                continue
            try:
                keep({str(size): {name: measured(name, size, place)}})
            except RuntimeError as e:  # the others are measured all the same
                print(e, flush=True)


def _made(size: int) -> dict[str, Any]:
    return dict(results().get("sizes", {}).get(str(size), {}))


def pictures(n: int, folder: Path) -> None:
    """Ingest and embed of ``n`` drawn pictures, then ten ingests of twenty more."""
    import scale_data

    place = folder / "pictures"
    shutil.rmtree(place, ignore_errors=True)
    scale_data.draw_pictures(place / "pictures", 0, n)
    found = {name: measured(name, n, place) for name in ("ingest_pictures", "embed_pictures")}
    for i in range(1, SMALL_INGESTS + 1):
        start = n + (i - 1) * SMALL
        scale_data.draw_pictures(place / "pictures", start, start + SMALL)
        found |= {name: measured(name, n, place) for name in (f"small_ingest_{i}", f"small_embed_{i}")}
    keep({f"pictures_{n}": found})
    for job in ("ingest", "embed"):
        cost = found[f"small_{job}_10"]["seconds"] / found[f"small_{job}_2"]["seconds"]
        claim(f"tenth small {job} against the second", cost, 1.25, at_least=False)


def results() -> dict[str, Any]:
    """What is known so far."""
    path = RESULTS / "scale.json"
    return dict(json.loads(path.read_text())) if path.exists() else {"sizes": {}}


def keep(figures: dict[str, dict[str, Any]]) -> None:
    """Merge figures of some jobs at some size into the results."""
    held = results()
    for size, jobs in figures.items():
        held["sizes"].setdefault(size, {}).update(jobs)
    held["machine"] = {"cores": len(os.sched_getaffinity(0)), "platform": platform.platform(), "settings": SETTINGS}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "scale.json").write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")


def claims() -> None:
    """Print what the results so far say about each claim, and keep it."""
    held = results()
    of = {int(size): jobs for size, jobs in held["sizes"].items() if size.isdigit()}
    small, middle, large = (of.get(size, {}) for size in SIZES)
    said = [claim("jobs that finish at 5,000,000", len([j for j in JOBS if j in large]), len(JOBS))]
    for kind in ("driver_jvm_mb", "driver_python_mb"):
        growth = [large[j][kind] / small[j][kind] for j in JOBS if j in large and j in small]
        if growth:
            said.append(claim(f"{kind} at 5,000,000 over 100,000", max(growth), 1.2, at_least=False))
    for job in JOBS:
        if job in large and job in middle and job not in ("make", *ADDED):
            for what, unit in (("cost", "seconds"), ("cpu", "cpu_seconds")):
                growth = (large[job][unit] / SIZES[2]) / (middle[job][unit] / SIZES[1])
                name = f"{what} an image of {job} from 1,000,000 to 5,000,000"
                said.append(claim(name, growth, 1.1, at_least=False))
    fixed = of.get(START, {})
    for size in SIZES:
        at = of.get(size, {})
        if {"compress", "cluster", *ADDED[1:]} <= at.keys() and set(ADDED[1:]) <= fixed.keys():
            whole = at["compress"]["seconds"] + at["cluster"]["seconds"]
            more = sum(at[job]["seconds"] - fixed[job]["seconds"] for job in ADDED[1:])
            said.append(claim(f"share of the whole for one per cent more at {size:,}", more / whole, 0.03, False))
    keep({})
    held = results() | {"claims": said}
    (RESULTS / "scale.json").write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[START, *SIZES])
    parser.add_argument("--jobs", nargs="*", default=list(JOBS), choices=JOBS)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "scale", help="where the warehouses stay")
    parser.add_argument("--pictures", type=int, default=0, help="draw so many, ingest and embed them; nothing else")
    parser.add_argument("--claims", action="store_true", help="only say what the results so far come to")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.sizes[0], args.folder)
        return
    if args.pictures:
        pictures(args.pictures, args.folder)
        return
    if not args.claims:
        sizes(args.sizes, args.jobs, args.folder)
    claims()


if __name__ == "__main__":
    main()
