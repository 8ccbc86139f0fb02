"""CSV files from people: truth and labels, whose rows name images by path or id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ImageNames:
    """Finds images by what people call them: an ``image_id``, a whole path, or one relative to an ingested folder."""

    def __init__(self, images: Sequence[tuple[str, str, str]]) -> None:
        """``images``: (image_id, path, source) of every row of ``images``."""
        self._by_path: dict[str, str] = {}
        self._ids = set()
        for image_id, path, source in images:
            self._ids.add(image_id)
            self._by_path[path] = image_id
            for root in {source.rstrip("/"), str(Path(source).absolute())}:
                if path.startswith(root + "/"):
                    self._by_path.setdefault(path[len(root) + 1 :], image_id)

    def find(self, name: str) -> str | None:
        """The ``image_id`` that ``name`` stands for."""
        name = name.removeprefix("./")
        return self._by_path.get(name) or (name if name in self._ids else None)

    def some(self) -> str:
        """A path that would have been found, for the message about one that was not."""
        return min(self._by_path, key=lambda path: (len(path), path), default="none")
