"""What a camera wrote into a file: when, with what, where. Damaged metadata is no metadata, never an error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from imgsearch.images.formats import DeadlineFile, DecodeLimits, open_image
from imgsearch.images.metadata import without_metadata
from imgsearch.images.signatures import sniff

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
MAKE, MODEL, ORIENTATION = 0x010F, 0x0110, 0x0112
TAKEN, DIGITIZED, TAKEN_OFFSET, DIGITIZED_OFFSET, LENS = 0x9003, 0x9004, 0x9011, 0x9012, 0xA434
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4
MAX_LENGTH = 200  # characters of a name
FIRST_YEAR, LAST_YEAR = 1826, 2199  # the first photograph; what every reader's timestamps hold


class Exif(NamedTuple):
    """``taken_at`` in UTC (the camera's own clock, where it wrote no offset); degrees, north and east positive."""

    taken_at: datetime | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    orientation: int | None = None


NOTHING = Exif()


def read_exif(content: bytes | memoryview, limits: DecodeLimits | None = None) -> Exif:
    """The EXIF values of an image file, each ``None`` where it has none or none that makes sense."""
    limits = limits or DecodeLimits()
    try:
        format = sniff(content)
        image = open_image(DeadlineFile(without_metadata(content, format), limits.seconds), format, limits)
        tags = image.getexif()
        more, place = _part(tags, EXIF_IFD), _part(tags, GPS_IFD)
        first = dict(tags)
    except Exception:  # Pillow raises whatever a damaged directory leads it to
        return NOTHING
    return exif_of(first, more, place)


def exif_of(first: Mapping[int, Any], more: Mapping[int, Any], place: Mapping[int, Any]) -> Exif:
    """Tags of the three directories (the image's, EXIF's, the GPS receiver's) → their values.

    >>> exif_of({0x010F: "NIKON", 0x0110: "NIKON D70"}, {0x9003: "2024:05:06 07:08:09"}, {}).camera
    'NIKON D70'
    """
    latitude = _degrees(place.get(LATITUDE), place.get(LATITUDE_REF), "S", 90)
    longitude = _degrees(place.get(LONGITUDE), place.get(LONGITUDE_REF), "W", 180)
    whole = latitude is not None and longitude is not None
    turn = first.get(ORIENTATION)
    return Exif(
        _time(more.get(TAKEN), more.get(TAKEN_OFFSET)) or _time(more.get(DIGITIZED), more.get(DIGITIZED_OFFSET)),
        _camera(_text(first.get(MAKE)), _text(first.get(MODEL))),
        _text(more.get(LENS)),
        latitude if whole else None,
        longitude if whole else None,
        turn if isinstance(turn, int) and 1 <= turn <= 8 else None,
    )


def _part(tags: Any, ifd: int) -> dict[int, Any]:
    try:
        return dict(tags.get_ifd(ifd))
    except Exception:  # this directory is damaged; the others may be whole
        return {}


def _text(value: object) -> str | None:
    """A name, without what does not print."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    plain = "".join(c if c.isprintable() else " " for c in value.split("\0")[0])
    return " ".join(plain.split())[:MAX_LENGTH] or None


def _camera(make: str | None, model: str | None) -> str | None:
    if make is None or model is None:
        return model or make
    return model if model.casefold().startswith(make.casefold().split()[0]) else f"{make} {model}"


def _time(value: object, offset: object) -> datetime | None:
    text = _text(value)
    if text is None:
        return None
    zone = _text(offset) or "+00:00"
    for form, given in (("%Y:%m:%d %H:%M:%S%z", f"{text[:19]}{zone}"), ("%Y:%m:%d %H:%M:%S", text[:19])):
        try:
            moment = datetime.strptime(given, form)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):  # 0000:00:00, an offset of blanks
            continue
        return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None
    return None


def _degrees(value: object, side: object, negative: str, most: int) -> float | None:
    """Degrees, minutes and seconds, and the letter of the side."""
    letter = _text(side)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != 3 or letter is None:
        return None
    try:
        degrees, minutes, seconds = (float(part) for part in value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    total = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(total) or not 0 <= total <= most:
        return None
    return -total if letter.upper() == negative else total
