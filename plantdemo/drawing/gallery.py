"""A gallery with its truth, drawn into a folder: the demo's photographs, copies, damaged files and queries.

The plan is made first, from the seed alone; then every item's visits are drawn by one process, each from a random
generator of its own. So the same seed gives the same bytes whatever the number of processes.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from imgsearch.lake.shared_files import LocalFolder
from plantdemo.drawing.camera import expose, frame, jpeg
from plantdemo.drawing.damage import DAMAGES, NEAR_COPIES, damaged, near_copy
from plantdemo.drawing.kinds import KINDS
from plantdemo.drawing.scene import Item, picture

MARKER = ".drawn-gallery"
FIRST_DAY, DAYS = date(2024, 1, 8), 720
SHARE_COPIES, SHARE_NEAR, SHARE_DAMAGED = 0.03, 0.03, 0.025
COPY = "copy"


@dataclass(frozen=True)
class DrawnGallery:
    """Where a drawing lies. ``n_images`` counts every file under ``images``, the unreadable ones included."""

    images: Path
    queries: Path
    truth: Path
    n_images: int
    n_queries: int
    n_damaged: int


@dataclass(frozen=True)
class Planned:
    """One file: visit ``visit`` to an item, as it is (``way`` empty), copied, nearly copied or damaged."""

    path: str
    kind: str
    number: int
    visit: int
    taken: date
    way: str


def draw_gallery(
    out: Path, n_images: int = 2000, n_queries: int = 50, seed: int = 7, processes: int | None = None
) -> DrawnGallery:
    """Draw ``images/site=…/visit_date=YYYY-MM/IMG_….jpg``, ``queries/….jpg`` and ``truth.csv`` into ``out``.

    ``truth.csv`` has the columns path, item, kind, visit_date, site: one row for every readable image (path relative
    to ``images``) and every query (path relative to ``out``). Damaged files have no row: there is nothing to find.
    ``processes`` defaults to the number of cores; 1 draws in this process. Others are spawned, so a script that calls
    this needs the usual ``if __name__ == "__main__"``.

    Raises ``ValueError`` for fewer than 40 images, fewer than 0 queries or fewer than 1 process, and when ``out``
    exists, is not empty and was not made by an earlier drawing.
    """
    if n_images < 40:
        raise ValueError(f"a gallery of {n_images} images: must be at least 40")
    if n_queries < 0:
        raise ValueError(f"{n_queries} queries: must not be negative")
    workers = (os.cpu_count() or 1) if processes is None else processes
    if workers < 1:
        raise ValueError(f"{workers} processes: must be at least 1")
    out = Path(out)
    _clear(out)
    plan = plan_gallery(n_images, n_queries, seed)
    for folder in sorted({str(Path(p.path).parent) for p in plan} | {"queries", "images"}):
        (out / folder).mkdir(parents=True, exist_ok=True)
    tasks: dict[tuple[str, int], list[Planned]] = {}
    for planned in plan:
        tasks.setdefault((planned.kind, planned.number), []).append(planned)
    jobs = [(out, seed, files) for files in tasks.values()]
    if workers == 1:
        for job in jobs:
            draw_item(*job)
    else:
        with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn")) as pool:
            list(pool.map(draw_item, *zip(*jobs, strict=True)))
    _write_truth(out / "truth.csv", plan)
    n_damaged = sum(p.way in DAMAGES for p in plan)
    return DrawnGallery(out / "images", out / "queries", out / "truth.csv", n_images, n_queries, n_damaged)


def plan_gallery(n_images: int, n_queries: int, seed: int) -> list[Planned]:
    """Every file that will be drawn, in the order of its path. The same arguments give the same plan."""
    rng = np.random.default_rng([seed, 0])
    n_copies, n_near = round(n_images * SHARE_COPIES), round(n_images * SHARE_NEAR)
    n_damaged = max(len(DAMAGES) if n_images >= 160 else 1, round(n_images * SHARE_DAMAGED))
    n_pictures = n_images - n_copies - n_near - n_damaged
    # about 2.8 visits for every item of a kind: 8 items with 22 visits each where there are 182 images of a kind
    per_kind = max(1, int(np.sqrt(n_pictures / len(KINDS) / 2.8)))
    items = [(kind, number) for number in range(per_kind) for kind in KINDS]
    pictures = [(*items[i % len(items)], i // len(items)) for i in range(n_pictures)]
    days = rng.integers(0, DAYS, n_pictures)
    files = [(visit, FIRST_DAY + timedelta(int(day)), "") for visit, day in zip(pictures, days, strict=True)]
    extras = rng.choice(n_pictures, n_copies + n_near + n_damaged, replace=n_copies + n_near + n_damaged > n_pictures)
    ways = (
        [COPY] * n_copies
        + [NEAR_COPIES[i % len(NEAR_COPIES)] for i in range(n_near)]
        + [DAMAGES[i % len(DAMAGES)] for i in range(n_damaged)]
    )
    files += [(*files[source][:2], way) for source, way in zip(extras, ways, strict=True)]
    numbers = 1000 + rng.permutation(len(files))
    planned = []
    for (visit, taken, way), number in zip(files, numbers, strict=True):
        site = Item.site_of(visit[0], visit[1])
        # a copy was put by someone into the folder of a later month
        filed = taken + timedelta(31) if way == COPY else taken
        planned.append(Planned(f"images/site={site}/visit_date={filed:%Y-%m}/IMG_{number}.jpg", *visit, taken, way))
    order = rng.permutation(len(items))
    query_numbers = rng.permutation(n_queries)
    for i in range(n_queries):
        kind, number = items[order[i % len(items)]]
        unseen = -(-n_pictures // len(items)) + i // len(items)
        taken = FIRST_DAY + timedelta(int(rng.integers(0, DAYS)))
        planned.append(Planned(f"queries/Q_{query_numbers[i] + 1:04d}.jpg", kind, number, unseen, taken, ""))
    return sorted(planned, key=lambda p: p.path)


def draw_item(out: Path, seed: int, files: list[Planned]) -> None:
    """Draw all files of one item; the visits that several files come from are drawn once."""
    item = Item.make(files[0].kind, files[0].number, seed)
    kind = list(KINDS).index(item.kind)
    drawn: dict[int, bytes] = {}
    for planned in files:
        if planned.visit not in drawn:
            rng = np.random.default_rng([seed, 2, kind, planned.number, planned.visit])
            drawn[planned.visit] = jpeg(expose(picture(item, frame(rng), rng), rng), rng, planned.taken)
        content = drawn[planned.visit]
        if planned.way in NEAR_COPIES:
            way = NEAR_COPIES.index(planned.way)
            content = near_copy(
                content, planned.way, np.random.default_rng([seed, 3, kind, planned.number, planned.visit, way])
            )
        elif planned.way in DAMAGES:
            way = DAMAGES.index(planned.way)
            content = damaged(
                content, planned.way, np.random.default_rng([seed, 4, kind, planned.number, planned.visit, way])
            )
        (out / planned.path).write_bytes(content)


def _clear(out: Path) -> None:
    """Make room in ``out`` by removing an earlier drawing, and nothing else."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: name a folder for the drawn gallery")
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise ValueError(f"{out} is not empty and was not drawn by imgsearch: name a new or empty folder")
        for folder in ("images", "queries"):
            LocalFolder(out).remove(folder)
        (out / "truth.csv").unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text(
        "This folder was drawn by imgsearch; drawing into it again replaces images, queries and truth.csv.\n"
    )


def _write_truth(path: Path, plan: Iterable[Planned]) -> None:
    """One row for every file that can be read; paths of images are relative to the folder ``images``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "item", "kind", "visit_date", "site"])
        for planned in plan:
            if planned.way not in DAMAGES:
                name = Item.name_of(planned.kind, planned.number)
                site = Item.site_of(planned.kind, planned.number)
                writer.writerow(
                    [planned.path.removeprefix("images/"), name, planned.kind, planned.taken.isoformat(), site]
                )
