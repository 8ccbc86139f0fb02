"""Queries that are parts of pictures: boxes read, cut out and named. No Spark."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from imgsearch.errors import ImageError
from imgsearch.images.boxes import Box, cut
from imgsearch.images.decode import DecodeLimits
from imgsearch.keys import order_keys
from imgsearch.retrieval.boxed_queries import box_of, cut_batches, cut_row
from imgsearch.retrieval.queries import QueryBatch
from imgsearch.topk.topk import NOBODY


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
CONTENT = png(PIXELS)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_a_box_is_cut_out_as_it_is() -> None:
    part = np.asarray(Image.open(io.BytesIO(cut(CONTENT, Box(0.5, 0.25, 0.25, 0.5)))))
    np.testing.assert_array_equal(part, PIXELS[10:30, 30:45])
    assert Image.open(io.BytesIO(cut(CONTENT, Box(0.99, 0.99, 0.001, 0.001)))).size == (1, 1)


@pytest.mark.parametrize(
    "values",
    [["1", "2", "3", "x"], ["0.5", "", "", ""], ["0", "0", "60", "40"], ["nan", "0", "1", "1"], ["0", "0", "0", "1"]],
)
def test_what_is_no_box_in_the_picture_is_refused(values: list[str]) -> None:
    with pytest.raises(ImageError, match=r"shares from 0 to 1") as caught:
        box_of(values)
    assert caught.value.reason == "bad_box"


def test_rows_become_named_parts_and_bad_rows_cost_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(CONTENT)
    columns = [
        pd.Series([str(tmp_path / "a.png"), "row", "gone.png", "row", "row", "row"]),
        pd.Series([None, CONTENT, None, b"no picture", CONTENT, CONTENT]),
        pd.Series([["0.5", "0.25", "0.25", "0.5"]] * 4 + [[None] * 4, ["9", "9", "9", "9"]]),
        pd.Series([None] * 6),
    ]
    (frame,) = cut_batches(DecodeLimits())(iter([columns]))
    assert frame["reason"].tolist()[:2] == [None, None]
    assert frame["query_id"].tolist()[:2] == [f"{DIGEST}#0.5,0.25,0.25,0.5"] * 2
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(frame["content"][0]))), PIXELS[10:30, 30:45])
    assert frame["reason"][2:].tolist() == ["unreadable", "not_an_image", None, "bad_box"]
    assert (frame["content"][4], frame["query_id"][4]) == (CONTENT, DIGEST)  # without a box the picture as it is
    refused = cut_row("p", None, ["0", "0", "1", "1"], "unknown_id", DecodeLimits())
    assert refused == (None, b"", "unknown_id", "no image of the gallery has this id")


def test_a_part_of_a_picture_has_that_picture_as_its_own() -> None:
    queries = QueryBatch([f"{DIGEST}#0,0,1,0.5", DIGEST, "row 1", "row#1"], [None] * 4, np.zeros((4, 2), np.float32), 4)
    (key,) = order_keys(pa.array([DIGEST]))
    assert queries.own.tolist() == [key, key, NOBODY, NOBODY]
