"""The soak: the chain on a standalone cluster whose parts are killed at random moments, against an undisturbed run.

    python benchmarks/soak.py --images 2000 --kills 20 --seed 1

A master and two workers run as processes of their own. While ``ingest``, ``embed``, ``compress`` and ``cluster`` run,
SIGKILL goes at random moments to an executor, a Python worker, a worker's JVM (which is started again) or the driver. A
run that ends with a fault is started again, by the same command, until it ends well; when it does before all kills are
spent, a new warehouse is begun. Each finished warehouse is compared with the undisturbed one, table by table.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from measure import claim, descendants, save  # noqa: E402

KINDS = ("executor", "python worker", "worker JVM", "driver")
MARKS = {
    "executor": "CoarseGrainedExecutorBackend",
    "python worker": "pyspark.daemon",
    "worker JVM": "deploy.worker.Worker",
}
#: Tables that hold what runs did, times and all; the others are equal after the same work.
LOGS = ("runs", "drift", "cluster_events", "searches")
SLICES, N_KINDS, TIMEOUT = 12, 20, 1800


class Place(NamedTuple):
    """What a chain is given."""

    pictures: Path
    encoder: str
    warehouse: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where images and warehouses go (default: a temporary folder)")
    parser.add_argument("--chain", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chain:
        return chain(*args.chain)
    with ExitStack() as stack:
        folder = Path(args.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        return soak(folder, args.images, args.kills, random.Random(args.seed), args.seed)


def soak(folder: Path, n_images: int, n_kills: int, rng: random.Random, seed: int) -> int:
    """Run it all and print the figures; 1 where anything differs."""
    pictures, encoder = draw(folder / "pictures", n_images), tiny(folder)
    started = time.monotonic()
    killed: collections.Counter[str] = collections.Counter()
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    with cluster(folder) as running:
        place = Place(pictures, encoder, folder / "undisturbed")
        undisturbed = time.monotonic()
        if run_chain(running, place, None, killed) != 0:
            raise SystemExit(f"the undisturbed run failed; see {folder / 'chain.log'}")
        undisturbed = time.monotonic() - undisturbed
        print(f"undisturbed: {undisturbed:.0f} s", flush=True)
        expected = tables(place.warehouse)
        rounds = 0
        while killed.total() < n_kills:
            rounds += 1
            place = place._replace(warehouse=folder / f"round-{rounds}")
            outcomes.update(one_round(running, place, Killer(rng, n_kills, undisturbed), killed))
            wrong += [f"round {rounds}: {line}" for line in differences(expected, tables(place.warehouse))]
            shutil.rmtree(place.warehouse)
    for line in wrong:
        print(line)
    figures = {
        "images": n_images, "seed": seed, "rounds": rounds, "kills": dict(killed), "starts": dict(outcomes),
        "seconds": round(time.monotonic() - started), "undisturbed_seconds": round(undisturbed), "different": wrong,
    }  # fmt: skip
    print(figures)
    claims = [claim("soak_kills", killed.total(), n_kills), claim("soak_differences", len(wrong), 0, at_least=False)]
    save("soak", figures | {"claims": claims})
    return int(bool(wrong))


class Killer(NamedTuple):
    """When and what to kill. ``span``: seconds of an undisturbed run."""

    rng: random.Random
    n_kills: int
    span: float

    def wait(self) -> float:
        """Seconds to the next kill: three to four fall into an undisturbed run."""
        return self.rng.uniform(0.05, 0.5) * self.span

    def choose(self) -> str:
        """The next one's kind."""
        return self.rng.choice(KINDS)


def one_round(
    running: Cluster, place: Place, killer: Killer, killed: collections.Counter[str]
) -> collections.Counter[str]:
    """One warehouse, begun as often as it takes; how its starts ended."""
    outcomes: collections.Counter[str] = collections.Counter()
    while True:
        code = run_chain(running, place, killer, killed)
        outcomes["ended well" if code == 0 else "killed" if code < 0 else f"exit {code}"] += 1
        if code == 0:
            return outcomes
        if outcomes.total() > 20 + 2 * killer.n_kills:
            raise SystemExit(f"it does not end well: {dict(outcomes)}; see {place.warehouse.parent / 'chain.log'}")


def run_chain(running: Cluster, place: Place, killer: Killer | None, killed: collections.Counter[str]) -> int:
    """The chain in a process of its own, disturbed by ``killer``; its exit code."""
    with (place.warehouse.parent / "chain.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, __file__, "--chain", running.url, *map(str, place)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + TIMEOUT
    following = time.monotonic() + killer.wait() if killer else deadline
    try:
        while child.poll() is None:
            time.sleep(0.1)
            if time.monotonic() > deadline:
                raise SystemExit(f"a chain took more than {TIMEOUT} s")
            if killer and killed.total() < killer.n_kills and time.monotonic() > following:
                kind = killer.choose()
                if running.kill(kind, child.pid, killer.rng):
                    killed[kind] += 1
                    print(f"killed {kind} ({killed.total()} of {killer.n_kills})", flush=True)
                following = time.monotonic() + killer.wait()
            running.mend()
        return child.returncode
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Cluster:
    """A master and workers. ``url``: of the master."""

    def __init__(self, folder: Path, stack: ExitStack, n_workers: int) -> None:
        self.folder, self._stack = folder, stack
        self.url = f"spark://127.0.0.1:{free_port()}"
        port = self.url.rpartition(":")[2]
        self._start("org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")
        self._workers = [self._worker(i) for i in range(n_workers)]

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        work = self.folder / f"worker-{number}"
        work.mkdir(exist_ok=True)
        options = ("--cores", "1", "--memory", "1500m", "--work-dir", str(work), "--host", "127.0.0.1")
        return self._start("org.apache.spark.deploy.worker.Worker", *options, "--webui-port", "0", self.url)

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        import pyspark

        home = Path(pyspark.__file__).parent
        environment = os.environ | {
            "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "192m",
            "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_DIRS": str(self.folder / "local"),
        }  # fmt: skip
        with (self.folder / "cluster.log").open("ab") as log:
            process = subprocess.Popen(
                [str(home / "bin" / "spark-class"), name, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self._stack.callback(end, process)
        return process

    def kill(self, kind: str, driver: int, rng: random.Random) -> bool:
        """SIGKILL to one process of this kind; whether there was one."""
        roots = [driver] if kind == "driver" else [worker.pid for worker in self._workers]
        pids = [pid for root in roots for pid in descendants(root)]
        if kind != "driver":
            pids = [pid for pid in pids if MARKS[kind] in command(pid)]
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(pids)), signal.SIGKILL)
        return True

    def mend(self) -> None:
        """Start workers that are gone again."""
        for number, worker in enumerate(self._workers):
            if worker.poll() is not None:
                end(worker)
                self._workers[number] = self._worker(number)


@contextmanager
def cluster(folder: Path, n_workers: int = 2) -> Iterator[Cluster]:
    """A cluster while the block runs."""
    with ExitStack() as stack:
        yield Cluster(folder, stack, n_workers)


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def command(pid: int) -> str:
    """A process's command line; nothing for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def chain(master: str, pictures: str, encoder: str, warehouse: str) -> int:
    """The child: the four jobs as one application on the cluster; 1 where one of them fails."""
    from imgsearch.clusters import cluster as clusters
    from imgsearch.config import ClusterConfig, CompressConfig, EmbedConfig, IngestConfig
    from imgsearch.encoders import embed
    from imgsearch.errors import UserError
    from imgsearch.images import ingest
    from imgsearch.lake.session import build_session
    from imgsearch.projections import compress

    n_images = sum(1 for _ in Path(pictures).iterdir())
    spark = build_session(
        "soak", spark__master=master, spark__driver__memory="1g", spark__executor__memory="1g",
        spark__sql__shuffle__partitions="4", spark__ui__enabled="false", spark__driver__host="127.0.0.1",
        spark__task__maxFailures="8", spark__pyspark__python=sys.executable,
    )  # fmt: skip
    try:
        w = warehouse
        slices = EmbedConfig(warehouse=w, encoder=encoder, slice_images=max(1, n_images // SLICES))
        print(ingest.run(spark, IngestConfig(warehouse=w, input=pictures)), flush=True)
        print(embed.run(spark, slices), flush=True)
        print(compress.run(spark, CompressConfig(warehouse=w, n_components=16)), flush=True)
        print(clusters.run(spark, ClusterConfig(warehouse=w, n_clusters=str(N_KINDS))), flush=True)
    except UserError as e:
        print(f"refused: {e}", flush=True)
        return 2
    return 0


def draw(folder: Path, n_images: int) -> Path:
    """Small pictures of some kinds, each with bytes of its own; one in a hundred is none."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for i in range(n_images):
        path = folder / f"{i:06d}.png"
        if i % 100 == 99:
            path.write_text(f"no picture {i}")
            continue
        kind = np.random.default_rng(i % N_KINDS).integers(0, 256, (5, 5, 3))
        pixels = np.clip(kind + np.random.default_rng(i).normal(0, 9, (5, 5, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((40, 30), Image.Resampling.BILINEAR).save(path)
    return folder


def tiny(folder: Path) -> str:
    """A network that costs nothing."""
    from support.tiny import write_tiny

    return write_tiny(folder / "tiny.onnx", seed=0)


def tables(warehouse: Path) -> dict[str, pd.DataFrame]:
    """Every table but the logs, read by delta-rs, in order of its key, without times."""
    from deltalake import DeltaTable

    from imgsearch.tables import ALL_TABLES

    found = {}
    for spec in ALL_TABLES:
        if spec.name not in LOGS and (warehouse / spec.name / "_delta_log").is_dir():
            frame = DeltaTable(str(warehouse / spec.name)).to_pandas()
            own = ["path"] if spec.name == "projections" else []  # where its MLlib model is, in this warehouse
            frame = frame.drop(columns=[*own, *(c for c in frame.columns if c.endswith("_at"))])
            found[spec.name] = frame.sort_values(list(spec.key), ignore_index=True)
    return found


def differences(expected: dict[str, pd.DataFrame], found: dict[str, pd.DataFrame]) -> list[str]:
    """What differs, a line a column. Packed numbers within 1e-5."""
    lines = [f"{name}: only in one of them" for name in sorted(set(expected) ^ set(found))]
    for name in sorted(set(expected) & set(found)):
        a, b = expected[name], found[name]
        if len(a) != len(b):
            lines.append(f"{name}: {len(a)} rows, {len(b)} after the kills")
            continue
        lines += [f"{name}.{column} differs" for column in a.columns if not same(a[column], b[column])]
    return lines


def same(a: pd.Series, b: pd.Series) -> bool:
    """Two columns are equal, numbers within 1e-5."""
    if a.dtype.kind == "f":
        return bool(np.allclose(a, b.astype(float), atol=1e-5, rtol=0, equal_nan=True))
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        if isinstance(x, bytes) and isinstance(y, bytes) and x != y:
            if len(x) != len(y) or not np.allclose(np.frombuffer(x, "<f4"), np.frombuffer(y, "<f4"), atol=1e-5, rtol=0):
                return False
        elif x != y and not (pd.isna(x) and pd.isna(y)):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
