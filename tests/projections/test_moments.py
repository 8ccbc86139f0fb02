import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.projections.moments import BLOCK, Moments


def rows(n: int, dim: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dim)) * rng.uniform(0.1, 3, dim) + offset).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 7), st.integers(0, 99))
def test_merged_batches_have_the_moments_of_all_rows(sizes: list[int], dim: int, seed: int) -> None:
    batches = [rows(n, dim, seed + i, offset=i) for i, n in enumerate(sizes)]
    merged = Moments.empty(dim)
    for batch in batches:
        merged = Moments.of(batch).merge(merged)
    everything = np.concatenate(batches).astype(np.float64)
    assert merged.n == len(everything)
    if merged.n:
        np.testing.assert_allclose(merged.mean, everything.mean(axis=0), atol=1e-6)
    if merged.n > 1:
        expected = np.cov(everything, rowvar=False).reshape(dim, dim)
        np.testing.assert_allclose(merged.covariance(), expected, atol=1e-5 * max(1, expected.trace()))


def test_blocks_and_a_far_mean_do_not_cost_precision() -> None:
    batch = rows(BLOCK + 1000, 20, offset=1000.0)
    expected = np.cov(batch.astype(np.float64), rowvar=False)
    got = Moments.of(batch).covariance()
    assert np.abs(got - expected).max() < 1e-6 * expected.trace()


def test_small_batches_are_gathered_into_blocks() -> None:
    batch = rows(2 * BLOCK + 300, 6, offset=2.0)
    got = Moments.of_batches(np.array_split(batch, 37))
    assert got is not None
    assert got.n == len(batch)
    np.testing.assert_allclose(got.covariance(), np.cov(batch.astype(np.float64), rowvar=False), atol=1e-5)
    assert Moments.of_batches([]) is None


def test_bytes_bring_it_back_exactly() -> None:
    moments = Moments.of(rows(50, 9))
    back = Moments.from_bytes(moments.to_bytes())
    assert back.n == 50
    np.testing.assert_array_equal(back.mean, moments.mean)
    np.testing.assert_array_equal(np.triu(back.scatter), np.triu(moments.scatter))
    np.testing.assert_array_equal(back.scatter, back.scatter.T)


@pytest.mark.parametrize("damage", [b"", b"GRM1", b"x" * 100])
def test_damaged_bytes_are_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="moments"):
        Moments.from_bytes(damage)


def test_cut_bytes_are_refused() -> None:
    data = Moments.of(rows(5, 4)).to_bytes()
    with pytest.raises(ValueError, match="cut short"):
        Moments.from_bytes(data[:-8])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_refused(value: float) -> None:
    batch = rows(10, 3)
    batch[4, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        Moments.of(batch)


def test_widths_do_not_mix_and_one_row_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Moments.empty(3).merge(Moments.empty(4))
    with pytest.raises(ValueError, match="at least two rows"):
        Moments.of(rows(1, 3)).covariance()
