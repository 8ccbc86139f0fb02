"""CSV files from people: truth and labels, whose rows name images by path or id."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from imgsearch.errors import UserError, did_you_mean


def read_csv(path: str, option: str, needs: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV with a header, values stripped. Raises ``UserError`` where it cannot be used."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in reader]
    except OSError as e:
        raise UserError(f"--{option} {path}: {e.strerror}; give a CSV file with the columns {', '.join(needs)}") from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"--{option} {path}: not a CSV in UTF-8 ({e}); save it as CSV UTF-8") from e
    for name in needs:
        if name not in columns:
            raise UserError(f"--{option} {path}: has no column '{name}'{did_you_mean(name, columns)}; it has {columns}")
    if not rows:
        raise UserError(f"--{option} {path}: has no rows; give one row an image")
    return rows


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
