"""Ids as numbers."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.keys import order_keys

IDS = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=40)


@given(IDS)
def test_keys_are_the_first_digits(ids: list[str]) -> None:
    keys = order_keys(pa.array(ids, pa.string()))
    assert keys.dtype == np.int64
    assert keys.tolist() == [int(i[:16], 16) >> 1 for i in ids]


@given(IDS)
def test_keys_sort_as_ids_do(ids: list[str]) -> None:
    keys = order_keys(pa.array(ids, pa.string()))
    by_key = [int(ids[i][:16], 16) >> 1 for i in np.argsort(keys, kind="stable")]
    assert by_key == [int(i[:16], 16) >> 1 for i in sorted(ids)]


def test_slices_and_chunks() -> None:
    ids = [hashlib.sha256(bytes([i])).hexdigest() for i in range(10)]
    wanted = [int(i[:16], 16) >> 1 for i in ids]
    assert order_keys(pa.array(ids).slice(3, 4)).tolist() == wanted[3:7]
    assert order_keys(pa.chunked_array([ids[:2], [], ids[2:]])).tolist() == wanted
    assert order_keys(pa.chunked_array([], pa.string())).tolist() == []


@pytest.mark.parametrize("bad", ["F" * 64, "g" * 64, " " * 64, "-" + "0" * 63, "ä" + "0" * 62])
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="not a sha-256"):
        order_keys(pa.array(["0" * 64, bad]))


def test_null_and_short_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        order_keys(pa.array(["0" * 64, None]))
    with pytest.raises(ValueError, match="64"):
        order_keys(pa.array(["0" * 63]))
