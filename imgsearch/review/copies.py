"""Copies on the page: groups of `dedup`, which file of each is the best, and what was said is not the same."""

from __future__ import annotations

import csv
import io
import re

import pyarrow as pa
import pyarrow.compute as pc

from imgsearch.lake.csv_files import FORMULA
from imgsearch.review.answers import PAGE, Answers, Json
from imgsearch.tables import DUPLICATES

GROUPS = 50
COLUMNS = ["path", "image_id", "representative_id", "kind", "score", "group_size"]


def copies(answers: Answers, offset: int, limit: int = GROUPS) -> Json:
    """Groups of `dedup`, the largest first, each with its files, the best first: most pixels, then sharpest.

    Images that somebody said are not the same as the representative are left out at once; the next `dedup` groups
    them anew. A group of which one image is left is not there any more.
    """
    rows = answers.warehouse.read_or_empty(DUPLICATES, COLUMNS)
    heads = rows.filter(pc.equal(rows["kind"], "representative"))
    heads = heads.sort_by([("group_size", "descending"), ("representative_id", "ascending")])
    gone = _dissolved(answers, rows)
    heads = heads.filter(pc.invert(pc.is_in(heads["representative_id"], pa.array(sorted(gone), pa.string()))))
    page = heads["representative_id"].slice(offset, limit).to_pylist()
    groups = _groups(answers, rows, page)
    return {"n": len(heads), "exists": len(rows) > 0, "groups": [{"files": files} for files in groups.values()]}


def _dissolved(answers: Answers, rows: pa.Table) -> set[str]:
    """The groups of which nothing but the representative is left."""
    touched = {image_id for pair in answers.ledger.state.apart for image_id in pair}
    if not touched:
        return set()
    touching = rows.filter(pc.is_in(rows["representative_id"], pa.array(sorted(touched), pa.string()))).to_pylist()
    left = {
        row["representative_id"] for row in touching if row["kind"] != "representative" and not _apart(answers, row)
    }
    return {row["representative_id"] for row in touching} - left


def _apart(answers: Answers, row: Json) -> bool:
    return frozenset((row["image_id"], row["representative_id"])) in answers.ledger.state.apart


def _groups(answers: Answers, rows: pa.Table, representatives: list[str]) -> dict[str, list[Json]]:
    """The files of these groups, the best first."""
    shown = rows.filter(pc.is_in(rows["representative_id"], pa.array(representatives, pa.string()))).to_pylist()
    groups: dict[str, list[Json]] = {representative_id: [] for representative_id in representatives}
    for row in shown:
        at = answers.collection.row_of.get(row["image_id"])
        if at is not None and not _apart(answers, row):
            groups[row["representative_id"]].append(_copy(answers, at, row))
    for files in groups.values():
        files.sort(key=lambda f: (-f["pixels"], -f["sharpness"], -f["n_bytes"], f["path"]))
    return groups


def _copy(answers: Answers, at: int, row: Json) -> Json:
    images = answers.collection.images
    width, height, n_bytes = (images[c][at].as_py() or 0 for c in ("width", "height", "n_bytes"))
    about = {"path": row["path"], "kind": row["kind"], "score": row["score"], "width": width, "height": height}
    sharpness = float(answers.sharpness[at])
    return answers.image_card(at) | about | {"pixels": width * height, "n_bytes": n_bytes, "sharpness": sharpness}


def copies_of(answers: Answers, image_id: str) -> list[Json]:
    """The other files of an image's group in ``duplicates``, if `dedup` has run, that are the same as it."""
    columns = COLUMNS[:-1]
    own = answers.warehouse.read_or_empty(DUPLICATES, columns, pc.field("image_id") == image_id)
    if not len(own) or _apart(answers, own.slice(0, 1).to_pylist()[0]):
        return []
    where = pc.field("representative_id") == own["representative_id"][0].as_py()
    group = answers.warehouse.read(DUPLICATES, columns, where)
    rows = group.filter(pc.not_equal(group["image_id"], image_id)).sort_by([("score", "descending")]).to_pylist()
    apart = answers.ledger.state.apart
    same = [r for r in rows if not _apart(answers, r) and frozenset((r["image_id"], image_id)) not in apart]
    return [r | {"known": r["image_id"] in answers.collection.row_of} for r in same[:PAGE]]


def copies_csv(answers: Answers) -> str:
    """Every file of every group: ``path``, ``keep`` (yes for the best of a group), ``best_path``, ``score``."""
    rows = answers.warehouse.read_or_empty(DUPLICATES, COLUMNS)
    heads = sorted(set(rows["representative_id"].to_pylist()) - _dissolved(answers, rows))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["path", "keep", "best_path", "score"])
    for files in _groups(answers, rows, heads).values():
        best = [_plain(f["path"]) for f in files[:1]]
        writer.writerows(
            [_plain(f["path"]), "no" if k else "yes", best[0], f"{f['score']:.6g}"] for k, f in enumerate(files)
        )
    return out.getvalue()


def _plain(text: str) -> str:
    """Text that a spreadsheet does not run as a formula."""
    return f"'{text}" if re.match(FORMULA, text) else text
