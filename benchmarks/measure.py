"""What the benchmarks of fits share: repeats side by side, CPU time of a process and its children, claims, results.

Contestants take turns, so a busy machine is busy for all of them. Wall time is what a user waits for; CPU time (of this
process, the JVM and the Python workers together) says more where others work on the machine too.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Runs:
    """Repeats of one contestant: seconds, CPU seconds, and what it answered last."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    answer: Any = None

    @property
    def wall(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)

    @property
    def work(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu)

    def __str__(self) -> str:
        spread = f"{min(self.seconds):.1f}-{max(self.seconds):.1f}"
        return f"{self.wall:8.1f} s ({spread}, {len(self.seconds)}x)  cpu {self.work:8.1f} s"


def side_by_side(contestants: Mapping[str, tuple[int, Callable[[], Any]]]) -> dict[str, Runs]:
    """Each contestant as often as it asks for, in turns: name → (repeats, what to time)."""
    runs = {name: Runs() for name in contestants}
    for turn in range(max((n for n, _ in contestants.values()), default=0)):
        for name, (repeats, run) in contestants.items():
            if turn < repeats:
                before, start = cpu_seconds(os.getpid()), time.perf_counter()
                runs[name].answer = run()
                runs[name].seconds.append(time.perf_counter() - start)
                runs[name].cpu.append(cpu_seconds(os.getpid()) - before)
                print(f"  {name}: {runs[name].seconds[-1]:.1f} s, cpu {runs[name].cpu[-1]:.1f} s", flush=True)
    return runs


def claim(name: str, measured: float, goal: float, at_least: bool = True) -> dict[str, Any]:
    """Print ``claim NAME MEASURED GOAL ok|short``, and return it for the results. Blanks in a name become ``_``."""
    name, met = name.replace(" ", "_"), measured >= goal if at_least else measured <= goal
    print(f"claim {name} {measured:.4g} {goal:g} {'ok' if met else 'short'}", flush=True)
    return {"claim": name, "measured": measured, "goal": goal, "at_least": at_least, "met": met}


def save(name: str, figures: Mapping[str, Any]) -> None:
    """Keep the figures beside what machine they were taken on, and how busy it was."""
    RESULTS.mkdir(exist_ok=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg(), "platform": platform.platform()}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine, **figures}, indent=1) + "\n")
    print(f"figures: {path}")


def descendants(pid: int) -> dict[int, int]:
    """A process and all that it started and that live: process id → CPU ticks, with those of children it waited for."""
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended since
                continue
            children[int(fields[1])].append(int(entry.name))
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    found: dict[int, int] = {}
    waiting = [pid]
    while waiting:
        here = waiting.pop()
        found[here] = ticks.get(here, 0)
        waiting += children[here]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its living descendants, and those that any of them has waited for."""
    return sum(descendants(pid).values()) / TICKS


def forget_peak(pid: int | None = None) -> None:
    """Let a process's peak of memory begin anew from what it holds now."""
    Path(f"/proc/{pid or 'self'}/clear_refs").write_text("5")


def spark_workers() -> list[int]:
    """The Python workers that this process's Spark keeps."""
    return [pid for pid in descendants(os.getpid()) if b"pyspark.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def peak_mb(pid: int | None = None) -> float:
    """Peak resident memory of a process so far, in MB."""
    text = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))) / 1024
