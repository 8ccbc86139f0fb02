"""What the join takes from a frame of one's own: by its schema, and by its rows. No Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imgsearch.errors import UserError
from imgsearch.retrieval.columns import (
    Columns,
    Fault,
    Names,
    columns_of,
    dim_of,
    faults_in,
    merged,
    refuse_bounds,
    refuse_duplicates,
    refuse_faults,
    refuse_repeated,
)  # fmt: skip
from imgsearch.retrieval.id_keys import IdKeys, IdRange
from imgsearch.vectors import pack, rows_of, unit_rows

SCHEMA = [("Doc", "bigint"), ("vector", "array<double>"), ("note", "string"), ("made", "timestamp"), ("NOTE", "int")]
UNIT = np.float32([[1, 0, 0], [0, 0.6, 0.8]])


def lists(*rows: object, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(list(rows), pa.list_(kind or pa.float32()))


def test_columns_are_found_as_spark_finds_them() -> None:
    assert columns_of(SCHEMA, "search", Names("doc", "vector")) == Columns("Doc", "bigint", "vector", "array<double>")
    assert columns_of(SCHEMA, "search", Names("doc", "vector")).has_integer_ids


@pytest.mark.parametrize(
    ("id_column", "vector_column", "said"),
    [
        (
            "image_id",
            "vector",
            r"has no column 'image_id'; it has Doc, vector, .*; name the right one with id_column=…",
        ),
        ("Docs", "vector", r"has no column 'Docs' .did you mean 'Doc'\?"),
        ("Doc", "vec", r"has no column 'vec' .did you mean 'vector'\?.* vector_column=…"),
        ("note", "vector", r"has 2 columns named 'note'; rename or drop all but one"),
        ("made", "vector", r"the id column 'made' is timestamp; give a string or an integer"),
        ("doc", "made", r"the vector column 'made' is timestamp; give array<float>, array<double>, MLlib's vector"),
    ],
)
def test_a_schema_that_does_not_fit_is_one_line(id_column: str, vector_column: str, said: str) -> None:
    with pytest.raises(UserError, match="^search: the gallery: " + said) as raised:
        columns_of(SCHEMA, "search: the gallery", Names(id_column, vector_column))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("top_k", [0, -1, 2.5, True, "3", None])
def test_top_k_is_a_whole_number_from_one(top_k: object) -> None:
    with pytest.raises(UserError, match=r"search: top_k .*: must be a whole number, at least 1"):
        refuse_bounds("search", top_k, None)  # type: ignore[arg-type]


def test_min_score_is_a_cosine() -> None:
    refuse_bounds("search", 1, -1.0)
    for score in (float("nan"), 298.0):
        with pytest.raises(UserError, match=r"min_score .*: must be within -1..1"):
            refuse_bounds("search", 1, score)


def test_rows_that_fit_have_no_faults() -> None:
    ids = pa.array(["a", "b"])
    for column in (pack(UNIT), lists(*UNIT), lists(*(UNIT * 298), kind=pa.float64())):
        assert faults_in(ids, column, 3) == []
        np.testing.assert_allclose(unit_rows(column, 3), UNIT, atol=1e-6)
    assert faults_in(pa.array([], pa.string()), lists(), 3) == []
    beyond_float32 = lists([3e100, 4e100], kind=pa.float64())
    np.testing.assert_allclose(unit_rows(beyond_float32, 2), [[0.6, 0.8]], atol=1e-6)
    without_a_length = lists([3e300, 4e300], kind=pa.float64())
    assert [fault.problem for fault in faults_in(ids[:1], without_a_length, 2)] == ["not_finite"]


def test_every_fault_is_counted_and_the_first_is_named() -> None:
    nan, inf = float("nan"), float("inf")
    column = lists([1, 0], None, [1], [nan, 1], [inf, 1], [0, 0], [None, 1], [0, 0], [1, 2, 3])
    ids = pa.array([None, *range(1, 9)])
    assert faults_in(ids, column, 2) == [
        Fault("no_id", 1, ""),
        Fault("null", 1, "e.g. id 1"),
        Fault("width", 2, "e.g. id 2: 1 numbers, not 2"),
        Fault("not_finite", 3, "e.g. id 3"),
        Fault("zero", 2, "e.g. id 5"),
    ]
    sliced = faults_in(ids.slice(5, 3), column.slice(5, 3), 2)
    assert sliced == [Fault("not_finite", 1, "e.g. id 6"), Fault("zero", 2, "e.g. id 5")]


def test_packed_vectors_that_are_no_unit_float32_are_refused() -> None:
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(50, 256)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    ids = pa.array(np.arange(50))
    float16 = pa.array([row.tobytes() for row in unit.astype("<f2")])
    int8 = pa.array([row.tobytes() for row in np.rint(unit * 127).astype("i1")])
    doubles = pa.array([row.tobytes() for row in unit.astype("<f8")])
    for packed in (float16, int8, doubles, pack(unit * 298)):
        problems = {fault.problem for fault in faults_in(ids, packed, dim_of(packed[0].as_py(), "search"))}
        assert problems
        assert problems <= {"length", "not_finite", "zero"}
    assert faults_in(ids, pack(unit), 256) == []
    with pytest.raises(UserError, match="packed vectors of 10 bytes, which is no float32"):
        dim_of(b"0123456789", "search")


def test_faults_of_several_parts_are_one_line() -> None:
    parts = [Fault("zero", 2, "e.g. id 7"), Fault("null", 1, "e.g. id 9"), Fault("null", 1000, "e.g. id 3")]
    assert merged(parts) == [Fault("null", 1001, "e.g. id 3"), Fault("zero", 2, "e.g. id 7")]
    with pytest.raises(UserError, match=r"^gallery: has 1,001 null vectors \(e.g. id 3\); leave them out$"):
        refuse_faults("gallery", parts)
    refuse_faults("gallery", [])
    with pytest.raises(UserError, match=r"has 2 ids more than once .e.g. 'a'.; give each row an id of its own"):
        refuse_duplicates("gallery", 2, "a")
    refuse_duplicates("gallery", 0, None)
    with pytest.raises(UserError, match=r"has 1 ids more than once \(e.g. 5\)"):
        refuse_repeated("gallery", pa.chunked_array([[5, 7], [5]]))
    refuse_repeated("gallery", pa.array([], pa.string()))


def test_rows_of_lists_and_packed_values() -> None:
    np.testing.assert_array_equal(rows_of(pack(UNIT)), UNIT)
    assert rows_of(lists([1, 2], kind=pa.float64())).dtype == np.float64
    assert rows_of(lists(), 3).shape == (0, 3)
    for column, said in (
        (lists([1], None), "1 of 2 vectors are null"),
        (lists([1], [1, 2]), r"\[1, 2\] numbers where each should have 1"),
        (lists([1]), r"\[1\] numbers where each should have 3"),
    ):
        with pytest.raises(ValueError, match=said):
            rows_of(column, None if len(column) > 1 else 3)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (IdRange(-5, 10, 0, False), "offset"),
        (IdRange(-(2**63), 2**63 - 1, 0, False), "hash"),
        (IdRange("0" * 64, "f" * 64, 64, True), "sha256"),
        (IdRange("frame-000001", "frame-000999", 12, False), "prefix"),
        (IdRange("", "b", 1, False), "prefix"),
        (IdRange("a", "b" * 9, 9, False), "hash"),
        (IdRange("one", "one", 3, False), "prefix"),
    ],
)
def test_which_key_an_id_gets(ids: IdRange, kind: str) -> None:
    assert IdKeys.of(ids).kind == kind
