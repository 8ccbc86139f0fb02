"""The star's texts: every table and column has a comment, every join leads to a key."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from imgsearch.report.star_statements import OTHERWISE, roles, views
from imgsearch.report.star_table import StarTable
from imgsearch.report.star_tables import STAR
from imgsearch.report.thumbnails import data_uri, thumbnail

FLAT = {"STRING", "INT", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}
BY_NAME = {spec.name: spec for spec in STAR}


@pytest.mark.parametrize("spec", STAR, ids=lambda spec: spec.name)
def test_a_table_is_flat_and_says_what_it_is(spec: StarTable) -> None:
    lines = [line.strip() for line in spec.ddl.strip().splitlines()]
    assert [line.split()[0] for line in lines] == list(spec.columns)
    assert {line.split()[1] for line in lines} <= FLAT
    assert all(" COMMENT '" in line for line in lines)
    assert spec.about
    assert set(spec.key) <= set(spec.columns)
    for column, target in spec.joins.items():
        assert column in spec.columns
        assert len(BY_NAME[target].key) == 1


def test_the_site_is_chosen_by_name_and_the_source_stands_in() -> None:
    assert roles([]) == OTHERWISE
    assert roles(["tag", "asset_id", "Werk", "camera"]) == {"site": "Werk", "equipment": "asset_id", "camera": "camera"}
    text = views(["Werk"])
    assert "f.Werk AS site" in text
    assert "f.exif_camera AS camera" in text
    assert "$" not in text


def test_a_thumbnail_of_noise_still_fits_a_text() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise[:160, :160]).save(out, "JPEG", quality=100, subsampling=0)
    assert len(data_uri(out.getvalue())) <= 32_766 < len(out.getvalue())
    plain = thumbnail(_png(np.zeros((50, 400, 3), np.uint8)))
    assert plain is not None
    assert data_uri(plain).startswith("data:image/jpeg;base64,/9j/")


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
