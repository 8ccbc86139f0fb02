"""A worker with the default network decodes the file named by its argument; prints seconds, the peak, the outcome.

The peak is of this process and its children together, shared pages counted once (PSS), looked at every 20 ms.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from imgsearch.encoders.embedding import embed_files
from imgsearch.encoders.encoder import DEFAULT, resolve
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.runtime import load_runtime
from imgsearch.images.decode import DecodeLimits


def pss_mb() -> float:
    children = " ".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))
    total = 0
    for pid in ["self", *children.split()]:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
        except (OSError, StopIteration):
            continue
    return total / 1000


def main() -> None:
    encoder = resolve(DEFAULT)
    runtime = load_runtime(graph_of(encoder), encoder, 1)
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, pss_mb())

    for name in sys.argv[1:]:
        content = Path(name).read_bytes()
        peak, done = pss_mb(), threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        before = time.monotonic()
        spent = time.process_time() + sum(os.times()[2:4])
        result = embed_files([lambda c=content: c], runtime, encoder.preprocessing, encoder.dim, DecodeLimits())
        seconds = time.process_time() + sum(os.times()[2:4]) - spent
        done.set()
        watcher.join()
        error = result.errors[0]
        outcome = "embedded" if error is None else f"{error.reason}: {error.detail}"
        row = {"name": Path(name).name, "seconds": seconds, "wall": time.monotonic() - before, "peak_mb": peak}
        print(json.dumps(row | {"outcome": outcome}), flush=True)


if __name__ == "__main__":
    main()
