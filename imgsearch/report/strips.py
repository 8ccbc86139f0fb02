"""Pictures worth a look: the oddest, the blurred, the dark, and groups of copies."""

from __future__ import annotations

from typing import NamedTuple

from imgsearch.report.album import Album, Picture, Record, records
from imgsearch.report.data import COPY_GROUPS, PER_GROUP, STRIP, ReportData
from imgsearch.report.text import count, decimal

#: Kind → title, what its figure is, decimal places.
KINDS = {
    "odd": ("Oddest", "members that are least like their cluster; the cosine to its centre", 2),
    "blurred": ("Blurred", "least sharpness (variance of the Laplacian)", 5),
    "dark": ("Dark", "least mean grey level, 0 to 1", 3),
}


class Strip(NamedTuple):
    """A row of pictures with a caption each."""

    title: str
    note: str
    pictures: list[tuple[Picture, str]]


def odd_strips(data: ReportData, album: Album) -> list[Strip]:
    """The strips that have pictures, in the order of ``KINDS``."""
    rows = records(data.strips)
    strips = []
    for kind, (title, note, places) in KINDS.items():
        worst = sorted((r for r in rows if r.get("kind") == kind), key=lambda r: (r["value"], str(r["image_id"])))
        pictures = [(album.picture(r["image_id"]), decimal(r["value"], places)) for r in worst[:STRIP]]
        if pictures:
            strips.append(Strip(title, note, pictures))
    return strips


def copy_strips(data: ReportData, album: Album) -> list[Strip]:
    """The largest groups of copies, each image once: the representative first, then the most alike."""
    groups: dict[str, dict[str, Record]] = {}
    for row in records(data.copies):
        groups.setdefault(str(row["representative_id"]), {}).setdefault(str(row["image_id"]), row)
    largest = sorted(groups.items(), key=lambda item: (-_size(item[1]), item[0]))
    strips = []
    for head, members in largest[:COPY_GROUPS]:
        ordered = sorted(members.values(), key=lambda r: (str(r["image_id"]) != head, -float(r["score"])))
        shown = [(album.picture(r["image_id"]), decimal(r["score"], 3)) for r in ordered[:PER_GROUP]]
        strips.append(Strip(f"{count(_size(members))} files", "", shown))
    return strips


def copies_note(data: ReportData) -> str:
    """How many copies there are in all; empty where they were not looked for, or there are none."""
    if data.n_copies_total is None or not data.n_copies_total[0]:
        return ""
    groups, files = data.n_copies_total
    shown = min(groups, COPY_GROUPS)
    return (
        f"{count(files)} files are copies or near-copies of another, in {count(groups)} groups; "
        f"{'all' if shown == groups else f'the {count(shown)} largest'} are here, {PER_GROUP} pictures each at most."
    )


def _size(members: dict[str, Record]) -> int:
    return max(int(row.get("group_size") or len(members)) for row in members.values())
