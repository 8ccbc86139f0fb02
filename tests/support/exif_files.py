"""A picture with what a camera writes into it."""

from __future__ import annotations

import io

from PIL import Image


def photograph(form: str = "JPEG", **changes: object) -> bytes:
    """A picture with all tags; ``changes``: other values by the names below, ``None`` for no tag."""
    tags = {
        "make": (None, 0x010F, "Canon"), "model": (None, 0x0110, "EOS 5D"), "orientation": (None, 0x0112, 6),
        "taken": (0x8769, 0x9003, "2024:05:06 23:30:00"), "offset": (0x8769, 0x9011, "+02:00"),
        "lens": (0x8769, 0xA434, "EF 50mm"), "north": (0x8825, 1, "N"), "latitude": (0x8825, 2, (48.0, 30.0, 36.0)),
        "east": (0x8825, 3, "W"), "longitude": (0x8825, 4, (11.0, 15.0, 0.0)),
    }  # fmt: skip
    exif = Image.Exif()
    for name, (ifd, tag, value) in tags.items():
        value = changes.get(name, value)
        if value is not None:
            (exif if ifd is None else exif.get_ifd(ifd))[tag] = value
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, form, exif=exif)
    return out.getvalue()
