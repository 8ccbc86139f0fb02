"""Names for the columns that come with an input: of its folders, or of its table. One rule for both.

Characters that Parquet or SQL stumble over become ``_``. A name that our own tables use, or that later stages add
beside it, gets ``meta_`` before it. Names that differ in nothing but case, or have become equal, are numbered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from imgsearch.tables import (
    DUPLICATES,
    EMBEDDINGS,
    GROUP_MATCHES,
    IMAGE_LABELS,
    IMAGES,
    MATCHES,
    MEMBERS,
    QUARANTINE,
    VECTORS,
)

_UNSUPPORTED = re.compile(r"(?:^|[<:,])(?:udt|interval|void|variant|geometry|geography)\b(?!:)")
_AS_TEXT = re.compile(r"(^|[<:,])(?:timestamp_ntz|time\(\d\)|string collate \w+)")
MAX_LENGTH = 100
MAX_NAMED = 10  # columns that a note names
_JOINED = (IMAGES, EMBEDDINGS, VECTORS, MEMBERS, IMAGE_LABELS, MATCHES, GROUP_MATCHES, DUPLICATES, QUARANTINE)
_EXPORTED = (
    "content", "n_rows", "n_paths", "cluster_score", "label_confidence", "label_origin", "map_x", "map_y", "x", "y",
    "image_key", "longer_side", "thumbnail", "distinct", "query_row",
)  # fmt: skip
#: What a carried column may not be called.
RESERVED = frozenset(column for spec in _JOINED for column in spec.columns) | frozenset(_EXPORTED)


def free_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A column's name for each of ``names``, in their order; all differ in more than case, also from ``taken``.

    >>> free_names(["cam.model", "width", "Site", "site", "visit date", "visit_date"])
    {'cam.model': 'cam_model', 'width': 'meta_width', 'Site': 'Site', 'site': 'site_2', 'visit date': 'visit_date', \
'visit_date': 'visit_date_2'}
    """
    used = {name.casefold() for name in taken}
    result: dict[str, str] = {}
    for name in names:
        base = column_name(name)
        free, number = base, 1
        while free.casefold() in used:
            number += 1
            free = f"{base[: MAX_LENGTH - 4]}_{number}"
        used.add(free.casefold())
        result[name] = free
    return result


def carried_kind(kind: str) -> str | None:
    """The type in which a carried column is kept; ``None`` for one that no table of ours holds.

    Times without a zone, times of day and text with a collation would make the table unreadable for readers that know
    Delta's first protocol only: they become plain text, also inside of structs, arrays and maps.

    >>> carried_kind("struct<a:timestamp_ntz,b:int>"), carried_kind("array<variant>"), carried_kind("binary")
    ('struct<a:string,b:int>', None, None)
    """
    if kind == "binary" or _UNSUPPORTED.search(kind):
        return None
    return _AS_TEXT.sub(r"\1string", kind)


def column_notes(names: Mapping[str, str], left_out: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What to say of carried columns: those with another name now, and those of kinds that no table of ours holds.

    >>> column_notes({"a": "a", "label": "meta_label"}, {"raw": "binary"})
    ("columns with another name here: 'label' is meta_label", "columns left out: 'raw' (binary)")
    """
    renamed = [f"{name!r} is {column}" for name, column in names.items() if name != column]
    dropped = [f"{name!r} ({kind})" for name, kind in (left_out or {}).items()]
    notes = (("columns with another name here", renamed), ("columns left out", dropped))
    return tuple(f"{what}: {', '.join(each[:MAX_NAMED])}{_more(each)}" for what, each in notes if each)


def _more(each: list[str]) -> str:
    return f" and {len(each) - MAX_NAMED} more" if len(each) > MAX_NAMED else ""


def column_name(name: str) -> str:
    """A name that every Delta table takes and that is not ours.

    >>> column_name("visit date (UTC)"), column_name("_file"), column_name(""), column_name("Score")
    ('visit_date__UTC_', 'meta_file', 'meta_', 'meta_score')
    """
    plain = re.sub(r"[^\w\-+$%&@#!?°€/]", "_", name)[:MAX_LENGTH]
    if plain.casefold() in RESERVED or plain.startswith("_") or not plain:
        return f"meta_{plain.lower().lstrip('_')}"
    return plain
