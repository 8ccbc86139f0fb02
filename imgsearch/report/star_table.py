"""A table of the star: what ``StarTable`` adds to ``TableSpec``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imgsearch.tables import TableSpec

#: The dimensions that most keys join.
IMAGE, CLUSTER, LABEL = "dim_image", "dim_cluster", "dim_label"


@dataclass(frozen=True)
class StarTable(TableSpec):
    """A table of the export. ``about``: its comment. ``joins``: column → the dimension whose key it is.

    ``open`` tables carry the columns that came with the input (``site``, ``equipment_id``) after these.
    """

    about: str = ""
    joins: Mapping[str, str] = field(default_factory=dict)


def star_table(
    name: str, about: str, ddl: str, key: str, joins: Mapping[str, str] | None = None, *, carries: bool = False
) -> StarTable:
    """A table of ``export``. ``ddl``: columns with comments. ``key``: its columns, with spaces between."""
    return StarTable(name, ddl, tuple(key.split()), "export", carries, about=about, joins=joins or {})
