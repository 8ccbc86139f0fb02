import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imgsearch.projections.storage import expand, loss, shrink, stored
from imgsearch.vectors import unit, unpack_bytes


def vectors(n: int = 300, dim: int = 64) -> np.ndarray:
    return unit(np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (3, 7), elements=st.floats(-1, 1, width=32)))
def test_float32_is_exact_and_the_others_stay_near(rows: np.ndarray) -> None:
    rows = unit(rows)
    np.testing.assert_array_equal(expand(shrink(rows, "float32"), "float32"), rows)
    np.testing.assert_allclose(expand(shrink(rows, "float16"), "float16"), rows, atol=1e-3)
    np.testing.assert_allclose(expand(shrink(rows, "int8"), "int8"), rows, atol=2e-2)


@pytest.mark.parametrize(
    ("precision", "width", "cosine"), [("float32", 256, 0.9999999), ("float16", 128, 0.999999), ("int8", 64, 0.9998)]
)
def test_width_and_loss(precision: str, width: int, cosine: float) -> None:
    rows = vectors()
    packed = shrink(rows, precision)
    assert packed.shape == (300, width)
    assert packed.dtype == np.uint8
    back = expand(packed, precision)
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    got = loss(rows, precision)
    assert got.bytes_per_vector == width
    assert got.worst_cosine == pytest.approx(min(float(a @ b) for a, b in zip(rows, back, strict=True)), abs=1e-6)
    assert got.score_error == pytest.approx(np.abs(rows @ rows.T - back @ back.T).max(), abs=1e-6)
    assert cosine < got.worst_cosine < 1.000001


def test_a_zero_row_stays_zero() -> None:
    for precision in ("float16", "int8"):
        assert not expand(shrink(np.zeros((2, 8), np.float32), precision), precision).any()


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown precision 'int4'"):
        shrink(vectors(), "int4")
    with pytest.raises(ValueError, match="unknown precision 'int4'"):
        expand(shrink(vectors(), "int8"), "int4")
    with pytest.raises(ValueError, match="not float16"):
        expand(np.zeros((2, 7), np.uint8), "float16")
    with pytest.raises(ValueError, match="NaN"):
        shrink(np.full((1, 4), np.nan, np.float32), "int8")


def test_a_vector_without_direction_is_stored_as_null() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32))
    rows[2] = 0
    column = stored(rows, "int8")
    assert [value is None for value in column.to_pylist()] == [False, False, True, False, False]
    assert {len(value) for value in column.to_pylist() if value} == {8}
    back = expand(unpack_bytes(column.drop_null()), "int8")
    assert np.einsum("ij,ij->i", back, rows[[0, 1, 3, 4]]).min() > 0.999
