"""Contact sheets: many pictures on one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps


def contact_sheet(paths: Sequence[Path], out_png: Path, columns: int, cell: int = 200) -> None:
    """Draw pictures, upright and whole, into square cells of ``cell`` pixels, row by row, and save them as one PNG.

    Raises ``ValueError`` when there is nothing to draw or no column to draw it in.
    """
    if not paths or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and columns, not {len(paths)} pictures in {columns} columns")
    rows = -(-len(paths) // columns)
    gap = max(2, cell // 40)
    sheet = Image.new("RGB", (columns * (cell + gap) + gap, rows * (cell + gap) + gap), (32, 34, 38))
    for i, path in enumerate(paths):
        with Image.open(path) as opened:
            opened.draft("RGB", (cell, cell))
            picture = ImageOps.contain(ImageOps.exif_transpose(opened).convert("RGB"), (cell, cell))
        x = gap + (i % columns) * (cell + gap) + (cell - picture.width) // 2
        y = gap + (i // columns) * (cell + gap) + (cell - picture.height) // 2
        sheet.paste(picture, (x, y))
    sheet.save(out_png)
