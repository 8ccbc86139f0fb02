"""EXIF: what Pillow writes is read back, and no damage is an error."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from support.exif_files import photograph

from imgsearch.images.exif import NOTHING, Exif, exif_of, read_exif

ALL = Exif(datetime(2024, 5, 6, 21, 30, tzinfo=UTC), "Canon EOS 5D", "EF 50mm", 48.51, -11.25, 6)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_what_a_camera_wrote_is_read(form: str) -> None:
    exif = read_exif(photograph(form))
    assert exif._replace(latitude=None, longitude=None) == ALL._replace(latitude=None, longitude=None)
    assert (exif.latitude, exif.longitude) == pytest.approx((ALL.latitude, ALL.longitude))


def test_a_tiff_s_own_tags_are_read() -> None:
    assert read_exif(photograph("TIFF")) == Exif(camera="Canon EOS 5D", orientation=6)  # Pillow writes no more of them


def test_a_file_without_any_has_nothing() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "JPEG")
    assert read_exif(out.getvalue()) == NOTHING
    assert read_exif(b"no picture") == read_exif(b"") == NOTHING


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"taken": "0000:00:00 00:00:00"}, "taken_at", None),
        ({"taken": "1000:01:01 00:00:00"}, "taken_at", None),
        ({"taken": "yesterday"}, "taken_at", None),
        ({"offset": "  :  "}, "taken_at", datetime(2024, 5, 6, 23, 30, tzinfo=UTC)),
        ({"offset": None}, "taken_at", datetime(2024, 5, 6, 23, 30, tzinfo=UTC)),
        ({"model": "Canon EOS 5D"}, "camera", "Canon EOS 5D"),
        ({"make": None}, "camera", "EOS 5D"),
        ({"model": None, "make": " \n"}, "camera", None),
        ({"lens": "a\x07b"}, "lens", "a b"),
        ({"lens": "x" * 999}, "lens", "x" * 200),
        ({"orientation": 9}, "orientation", None),
        ({"north": None}, "longitude", None),
        ({"latitude": (91.0, 0.0, 0.0)}, "longitude", None),
        ({"latitude": (48.0, 30.0)}, "latitude", None),
        ({"longitude": (IFDRational(0, 0), 0.0, 0.0)}, "latitude", None),
    ],
)
def test_what_makes_no_sense_is_left_out(change: dict[str, object], field: str, value: object) -> None:
    exif = read_exif(photograph(**change))
    assert getattr(exif, field) == value
    assert exif != NOTHING


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_no_damage_is_an_error(at: int, damage: bytes) -> None:
    content = bytearray(photograph())
    at %= len(content)
    content[at : at + len(damage)] = damage
    exif = read_exif(bytes(content))
    assert exif.latitude is None or abs(exif.latitude) <= 90
    assert exif.taken_at is None or 1826 <= exif.taken_at.year <= 2199


VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.floats(), max_size=4))


@given(st.dictionaries(st.sampled_from([0x010F, 0x0110, 0x0112, 0x9003, 0x9011, 0xA434, 1, 2, 3, 4]), VALUES))
def test_no_value_is_an_error(tags: dict[int, object]) -> None:
    exif = exif_of(tags, tags, tags)
    assert exif.camera is None or exif.camera.isprintable()
