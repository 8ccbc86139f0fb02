"""Embedding side by side, in one run: images a second of this UDF, of its ceiling, and of the usual ways.

    PYTHONPATH=. python benchmarks/embed.py                      # full: some twenty minutes
    PYTHONPATH=. python benchmarks/embed.py --size small
    uv pip install --target .cache/imagededup --no-deps imagededup pywavelets tqdm matplotlib contourpy cycler \\
        fonttools kiwisolver pyparsing                           # once, for the last contestant

Same files, same cores, alternating; a contestant is one process (with its workers) that lives as long as the run and
has embedded each mix once before it is timed. Slow ones get every fourth file. Medians of the repeats, with the least
and the most. ``cpu`` is CPU time per image (all processes of the contestant): where others work on the machine too it
says more than the clock. Claims end with ``ok`` or ``short``; figures go to ``benchmarks/results/embed.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from embed_images import MIXES, make  # noqa: E402
from measure import claim, cpu_seconds, save  # noqa: E402

from imgsearch.encoders.encoder import DEFAULT  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402

OURS, CEILING, FLOAT32, BF16, NAIVE, DEDUP = (
    "this UDF in Spark", "bare processes", "DataLoader float32", "DataLoader bf16", "naive scalar UDF", "imagededup",
)  # fmt: skip
OURS_MOBILENET = f"{OURS}, MobileNetV3"
HOSTS = ((OURS,), (CEILING,), (FLOAT32, BF16, DEDUP), (NAIVE,))  # what shares a process
SLOW = {NAIVE: 4}
IMAGEDEDUP = HERE.parent / ".cache" / "imagededup"


class Timed(NamedTuple):
    """One run of a contestant over one mix."""

    rate: float  # images a second
    cpu: float  # ms of CPU an image
    rss_mb: float  # peak of a worker, where known


class Host:
    """A process of ``embed_contestants.py``."""

    def __init__(self, names: list[str], cores: int, log: Path) -> None:
        path = f"{HERE.parent}{os.pathsep}{IMAGEDEDUP}"
        environment = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "embed_contestants.py"), str(cores), *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("a"), text=True, env=environment,
        )  # fmt: skip
        self.names = names

    def wait(self) -> None:
        """Until it is ready."""
        self._answer("its start")

    def run(self, name: str, folder: Path, encoder: str, share: int) -> Timed:
        """Embed a folder's every ``share``-th file."""
        assert self._process.stdin is not None
        before = cpu_seconds(self._process.pid)
        asked = {"name": name, "folder": str(folder), "encoder": encoder, "share": share}
        print(json.dumps(asked), file=self._process.stdin)
        self._process.stdin.flush()
        answer = self._answer(str(folder))
        spent = cpu_seconds(self._process.pid) - before
        n = answer["images"]
        return Timed(n / answer["seconds"], 1000 * spent / n, answer.get("rss_mb", float("nan")))

    def stop(self) -> None:
        """End it: no more requests."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _answer(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.names} ended while asked for {what}; see contestants.log")
        return json.loads(line)


def mobilenet(folder: Path) -> str:
    """MobileNetV3-small as imagededup uses it: the last pooling's 576 numbers; weights drawn at random."""
    weights = folder / "mobilenet_v3_small.pth"
    code = (
        "import sys, torch; from torchvision.models import mobilenet_v3_small as build;"
        "torch.manual_seed(1); torch.save(build(weights=None).state_dict(), sys.argv[1])"
    )
    if not weights.exists():
        subprocess.run([sys.executable, "-c", code, str(weights)], check=True)
    weights.with_suffix(".toml").write_text(
        'architecture = "mobilenet_v3_small"\nlast_layer = "classifier"\npool_layer = "avgpool"\ndim = 576\n'
        'fit = "crop"\nsize = 224\nresize_to = 256\n'
    )
    return str(weights)


def claims(middle: dict[tuple[str, str], Timed]) -> list[dict[str, Any]]:
    """What is claimed, printed: ratios of the medians of images a second."""
    small, large, grey = MIXES
    found = []

    def ratio(name: str, one: tuple[str, str], other: tuple[str, str], goal: float) -> None:
        if one in middle and other in middle:
            found.append(claim(name, middle[one].rate / middle[other].rate, goal))

    for mix in (small, large, grey):
        word = mix.replace(" ", "_")
        ratio(f"share_of_ceiling:{word}", (OURS, mix), (CEILING, mix), 0.95)
    ratio("over_dataloader_bf16", (OURS, small), (BF16, small), 2)
    ratio("over_naive_udf", (OURS, small), (NAIVE, small), 5)
    ratio("over_dataloader_float32_12mp", (OURS, large), (FLOAT32, large), 3)
    ratio("over_dataloader_bf16_12mp", (OURS, large), (BF16, large), 3)
    ratio("over_imagededup_same_network", (OURS_MOBILENET, small), (DEDUP, small), 1)
    if (OURS, large) in middle:
        found.append(claim("worker_peak_mb_12mp", middle[OURS, large].rss_mb, 1000, at_least=False))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "full"], default="full")
    parser.add_argument("--images", type=int, help="640x480 and grey images (12 MP: a quarter of that)")
    parser.add_argument("--repeats", type=int, help="timed runs of each (default 2 small, 5 full)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="*", help="contestants by the beginning of their names")
    parser.add_argument("--mixes", nargs="*", help="mixes by the beginning of their names")
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "imgsearch-benchmark")
    args = parser.parse_args()
    repeats = args.repeats or (2 if args.size == "small" else 5)

    args.folder.mkdir(parents=True, exist_ok=True)
    mixes = [m for m in MIXES if not args.mixes or m.startswith(tuple(args.mixes))]
    folders = {m: make(args.folder, m, n_images(m, args.images, args.size)) for m in mixes}
    wanted = [
        n for n in (OURS, CEILING, FLOAT32, BF16, NAIVE, DEDUP) if not args.only or n.startswith(tuple(args.only))
    ]
    if DEDUP in wanted and not IMAGEDEDUP.is_dir():
        print(f"{DEDUP}: left out, not installed (the first lines of this file say how)")
        wanted.remove(DEDUP)
    log = args.folder / "contestants.log"
    hosts = [Host(held, args.cores, log) for group in HOSTS if (held := [n for n in group if n in wanted])]
    for host in hosts:
        host.wait()
    runs = [(name, args.encoder) for name in wanted if name != DEDUP]
    if DEDUP in wanted:
        network = mobilenet(args.folder)
        runs += [(DEDUP, network), *([(OURS_MOBILENET, network)] if OURS in wanted else [])]

    began, load = time.time(), os.getloadavg()
    taken: dict[tuple[str, str], list[Timed]] = defaultdict(list)
    try:
        for mix, folder in folders.items():
            for number in range(repeats + 1):  # the first is to warm up
                turn = number % len(runs)
                for name, encoder in runs[turn:] + runs[:turn]:
                    contestant = OURS if name == OURS_MOBILENET else name
                    host = next(h for h in hosts if contestant in h.names)
                    timed = host.run(contestant, folder, encoder, SLOW.get(name, 1))
                    if number:
                        taken[name, mix].append(timed)
            n = sum(1 for _ in folder.glob("0*"))
            print(f"\n{mix}: {n} images, {args.cores} cores, {args.encoder}, {repeats} repeats")
            print(render_table(rows_of(taken, mix)), flush=True)
    finally:
        for host in hosts:
            host.stop()

    middle = medians(taken)
    print(f"\nload average {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after, {time.time() - began:.0f} s")
    save_runs(args, repeats, load, taken, claims(middle))


def medians(taken: dict[tuple[str, str], list[Timed]]) -> dict[tuple[str, str], Timed]:
    """The median run, column by column."""
    return {key: Timed(*map(statistics.median, zip(*timed, strict=True))) for key, timed in taken.items()}


def rows_of(taken: dict[tuple[str, str], list[Timed]], mix: str) -> list[dict[str, Any]]:
    """The table of one mix."""
    middle = {name: timed for (name, of), timed in medians(taken).items() if of == mix}
    ours = middle.get(OURS)
    return [
        {
            "contestant": name,
            "images/s": round(timed.rate, 1),
            "least": round(min(t.rate for t in taken[name, mix]), 1),
            "most": round(max(t.rate for t in taken[name, mix]), 1),
            "cpu ms/image": round(timed.cpu, 1),
            "ours, times": round(ours.rate / timed.rate, 2) if ours else None,
            "by cpu": round(timed.cpu / ours.cpu, 2) if ours else None,
            "peak MB": round(timed.rss_mb) if timed.rss_mb > 0 else None,
        }
        for name, timed in middle.items()
    ]


def n_images(mix: str, asked: int | None, size: str) -> int:
    """How many files of a mix."""
    if asked is None:
        return MIXES[mix].images[size == "full"]
    return max(8, asked // 4) if mix.startswith("12 MP") else asked


def save_runs(args: argparse.Namespace, repeats: int, load: Any, taken: Any, reached: list[dict[str, Any]]) -> None:
    """All runs and claims as JSON."""
    runs = [
        {"contestant": name, "mix": mix, "images_per_second": [round(t.rate, 2) for t in timed],
         "cpu_ms_per_image": [round(t.cpu, 2) for t in timed],
         "peak_mb": [round(t.rss_mb) for t in timed if t.rss_mb > 0]}
        for (name, mix), timed in taken.items()
    ]  # fmt: skip
    figures = {"cores_used": args.cores, "encoder": args.encoder, "repeats": repeats, "load_before": load}
    save("embed" if args.size == "full" else "embed_small", figures | {"runs": runs, "claims": reached})


if __name__ == "__main__":
    main()
