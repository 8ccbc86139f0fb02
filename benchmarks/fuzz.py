"""The fuzz proof: tens of thousands of damaged image files, every one decoded or refused, none fatal.

    python benchmarks/fuzz.py --files 20000 --seed 1

Batches run in child processes with a memory ceiling, so that a crash, a hang or a leak shows as a number here instead
of ending the run. Prints what became of the files by kind and by reason, the slowest file, the peak memory, and ends
with 1 if any process died, any call escaped with another exception, or any file took longer than its limit allows.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from measure import claim, save  # noqa: E402
from support.damage import damaged  # noqa: E402
from support.image_files import files  # noqa: E402

from imgsearch.images.decode import DecodeLimits, ImageError, decode  # noqa: E402
from imgsearch.images.formats import REASONS  # noqa: E402

LIMITS = DecodeLimits(max_pixels=20_000_000, seconds=5.0)
CEILING = 3 * 2**30  # bytes of address space a child may use; libraries and stacks take about 1.2 GB of it
BATCH = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.batch is not None:
        print(json.dumps(batch(args.seed, args.batch, args.files)))
        return 0
    started = time.perf_counter()
    ends: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    slowest, peak, written = 0.0, 0, 0
    for number in range(-(-args.files // BATCH)):
        n_files = min(BATCH, args.files - number * BATCH)
        result, stderr = child(args.seed, number, n_files)
        written += len(stderr)
        if result is None:
            faults.append(f"batch {number} of seed {args.seed} died or hung: {stderr[-300:]}")
            continue
        ends.update(result["ends"])
        faults += result["faults"]
        slowest, peak = max(slowest, result["slowest"]), max(peak, result["peak"])
    report(ends, faults, slowest, peak, written, time.perf_counter() - started)
    claims = [claim("damaged files", ends.total(), args.files), claim("faults", len(faults), 0, at_least=False)]
    save("fuzz", {"seed": args.seed, "ends": ends, "slowest_s": slowest, "peak_mb": peak, "claims": claims})
    return 1 if faults else 0


def child(seed: int, number: int, n_files: int) -> tuple[dict | None, str]:
    """One batch in its own process; ``None`` if it died or did not come back."""
    command = [sys.executable, __file__, "--seed", str(seed), "--batch", str(number), "--files", str(n_files)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60 + n_files, check=False)
    except subprocess.TimeoutExpired:
        return None, "no answer"
    if ran.returncode:
        return None, f"status {ran.returncode}: {ran.stderr}"
    return json.loads(ran.stdout), ran.stderr


def batch(seed: int, number: int, n_files: int) -> dict:
    """What became of ``n_files`` damaged files, each a function of (seed, number, its place) alone."""
    resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    kinds = sorted(files())
    ends: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    slowest = 0.0
    for place in range(n_files):
        rng = random.Random(f"{seed}/{number}/{place}")
        kind = kinds[(number * n_files + place) % len(kinds)]
        content = damaged(files()[kind], files()[rng.choice(kinds)], rng)
        started = time.perf_counter()
        try:
            end = "decoded" if decode(content, (64, 64), LIMITS).shape == (64, 64, 3) else "wrong shape"
        except ImageError as error:
            end = error.reason
        except BaseException as error:
            end = f"escaped {type(error).__name__}"
        seconds = time.perf_counter() - started
        slowest = max(slowest, seconds)
        if end not in ("decoded", *REASONS) or seconds > LIMITS.seconds + 1.0:
            faults.append(f"{kind} {seed}/{number}/{place}: {end} after {seconds:.1f} s")
        ends[f"{kind.split('_')[0]}/{end}"] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"ends": ends, "faults": faults, "slowest": slowest, "peak": peak}


def report(
    ends: collections.Counter[str], faults: list[str], slowest: float, peak: int, written: int, seconds: float
) -> None:
    """The table of formats by outcome, then what is worst."""
    formats = sorted({key.split("/")[0] for key in ends})
    outcomes = sorted({key.split("/")[1] for key in ends})
    print(f"{'format':8}" + "".join(f"{outcome:>17}" for outcome in outcomes))
    for name in formats:
        print(f"{name:8}" + "".join(f"{ends[name + '/' + outcome]:>17,}" for outcome in outcomes))
    print(
        f"{ends.total():,} damaged files in {seconds:.0f} s; slowest {slowest:.2f} s; peak memory {peak} MB; ", end=""
    )
    print(f"{written:,} characters on stderr; {len(faults)} faults")
    for fault in faults[:20]:
        print("fault:", fault)


if __name__ == "__main__":
    sys.exit(main())
