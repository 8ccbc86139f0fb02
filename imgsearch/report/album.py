"""The pictures a page mentions, each told once: name, facts, and where its thumbnail lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import pandas as pd

from imgsearch.report import metadata
from imgsearch.report.text import basename, n_bytes
from imgsearch.terminal import is_missing, visible

Record = dict[str, Any]


def records(frame: pd.DataFrame | None) -> list[Record]:
    """Rows as dictionaries, with ``None`` for whatever pandas calls missing."""
    if frame is None or frame.empty:
        return []
    return [
        {name: None if is_missing(value) else value for name, value in zip(frame.columns, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]


def relative_url(path: str) -> str:
    """A path beside the page as a URL that cannot lead anywhere else.

    Raises ``ValueError`` for absolute paths and paths with ``..`` in them.
    """
    if not path or path.startswith(("/", "\\")) or ".." in PurePosixPath(path.replace("\\", "/")).parts:
        raise ValueError(f"thumbnail path {path!r} does not lie beside the page")
    return quote(path, safe="/", errors="surrogatepass")


@dataclass(frozen=True)
class Picture:
    """One image on the page. ``index`` is its place in the page's list of pictures.

    ``under``: where and when it was taken, and its label; ``about``: every carried value and the label.
    """

    index: int
    image_id: str
    name: str
    path: str
    thumbnail: str | None
    facts: str
    width: int
    height: int
    under: str = ""
    about: str = ""


class Album:
    """Looks pictures up by image_id and remembers which ones the page has used."""

    def __init__(self, images: pd.DataFrame, thumbnails: dict[str, str]) -> None:
        self._rows: dict[str, Record] = {}
        self._copies: dict[str, int] = {}
        for row in records(images):
            image_id = str(row.get("image_id"))
            self._rows.setdefault(image_id, row)
            self._copies[image_id] = self._copies.get(image_id, 0) + 1
        self._thumbnails = thumbnails
        self._carried = metadata.carried(images.columns)
        words = (metadata.SITE_WORDS, metadata.DATE_WORDS)
        self._under = [*(metadata.column_named(self._carried, w) for w in words), "label"]
        self._used: dict[str, Picture] = {}

    def picture(self, image_id: object, path: object = None) -> Picture:
        """The picture of ``image_id``; ``path`` names it where the images frame does not."""
        key = str(image_id)
        if key not in self._used:
            row = self._rows.get(key, {})
            full = str(row.get("path") or path or key)
            thumbnail = self._thumbnails.get(key)
            self._used[key] = Picture(
                index=len(self._used),
                image_id=visible(key),
                name=visible(basename(full)),
                path=visible(full),
                thumbnail=None if thumbnail is None else relative_url(thumbnail),
                facts=self._facts(key, row),
                width=int(row.get("width") or 0),
                height=int(row.get("height") or 0),
                under=metadata.values(row, self._under),
                about=metadata.pairs(row, ["label", *self._carried]),
            )
        return self._used[key]

    def ids(self, indices: Iterable[int]) -> list[str]:
        """The image_id of pictures by their indices."""
        keys = list(self._used)
        return [keys[index] for index in indices]

    def used(self) -> list[Picture]:
        """Every picture asked for so far, in the order of their indices."""
        return list(self._used.values())

    def _facts(self, image_id: str, row: Record) -> str:
        facts = []
        if row.get("width") and row.get("height"):
            facts.append(f"{int(row['width']):,} × {int(row['height']):,} px")
        if row.get("format"):
            facts.append(visible(row["format"]))
        if row.get("n_bytes"):
            facts.append(n_bytes(row["n_bytes"]))
        if self._copies.get(image_id, 0) > 1:
            facts.append(f"{self._copies[image_id]:,} copies")
        return " · ".join(facts)
