import numpy as np
import pytest
import scipy.linalg

from imgsearch.projections import projection
from imgsearch.projections.moments import Moments
from imgsearch.vectors import unit


def embeddings(n: int = 3000, dim: int = 120, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dim + 1) ** -0.8
    turned = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return unit(((rng.standard_normal((n, dim)) * spectrum) @ turned + 0.3).astype(np.float32))


def exact(rows: np.ndarray, n: int) -> np.ndarray:
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    return np.linalg.svd(centred, full_matrices=False)[2][:n]


def test_components_are_those_of_an_exact_svd() -> None:
    rows = embeddings()
    fitted = projection.fit(Moments.of(rows), 60, "enc")
    truth = exact(rows, 60)
    cosines = np.abs((fitted.components.astype(np.float64) * truth).sum(axis=1))
    assert cosines[:50].min() > 1 - 1e-6
    assert scipy.linalg.subspace_angles(fitted.components.T, truth.T).max() < 1e-3
    np.testing.assert_allclose(fitted.components @ fitted.components.T, np.eye(60), atol=1e-5)
    assert np.all(fitted.components[np.arange(60), np.abs(fitted.components).argmax(axis=1)] > 0)


def test_explained_variance_is_a_share_of_the_whole() -> None:
    rows = embeddings(dim=20)
    fitted = projection.fit(Moments.of(rows), 20, "enc")
    assert fitted.explained_variance_ratio.sum() == pytest.approx(1, abs=1e-5)
    assert np.all(np.diff(fitted.explained_variance_ratio) <= 0)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_apply_is_centre_project_scale_normalise(whitening: float) -> None:
    rows = embeddings(n=500, dim=40)
    fitted = projection.fit(Moments.of(rows), 10, "enc", whitening=whitening)
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    truth = exact(rows, 10)
    truth *= np.sign(truth[np.arange(10), np.abs(truth).argmax(axis=1)])[:, None]
    projected = centred @ truth.T
    projected /= projected.std(axis=0, ddof=1) ** whitening
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    got = fitted.apply(rows)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_full_whitening_gives_equal_variances() -> None:
    rows = embeddings(dim=30)
    fitted = projection.fit(Moments.of(rows), 30, "enc", whitening=1.0)
    raw = (rows - fitted.mean) @ fitted.components.T * fitted.scale
    np.testing.assert_allclose(raw.std(axis=0), 1, rtol=1e-2)


def test_rows_without_a_direction_become_zeros_and_are_found() -> None:
    rows = embeddings(n=200, dim=12)
    fitted = projection.fit(Moments.of(rows), 4, "enc")
    odd = np.stack([np.zeros(12), fitted.mean, np.full(12, np.nan), np.full(12, np.inf), rows[0]]).astype(np.float32)
    got = fitted.apply(odd)
    assert projection.vanished(got).tolist() == [True, True, True, True, False]
    assert np.linalg.norm(got[4]) == pytest.approx(1, abs=1e-6)


def test_few_or_flat_rows_give_fewer_components() -> None:
    rows = embeddings(n=5, dim=12)
    assert projection.fit(Moments.of(rows), 10, "enc").n_components == 4
    line = np.outer(np.linspace(-1, 1, 50), np.eye(12)[3]).astype(np.float32)
    assert projection.fit(Moments.of(line), 10, "enc", whitening=1.0).n_components == 1
    with pytest.raises(ValueError, match="all 50 embeddings are the same"):
        projection.fit(Moments.of(np.ones((50, 3), np.float32)), 2, "enc")


def test_wrong_settings_are_refused() -> None:
    moments = Moments.of(embeddings(n=50, dim=8))
    for n_components in (0, 9):
        with pytest.raises(ValueError, match="n_components"):
            projection.fit(moments, n_components, "enc")
    with pytest.raises(ValueError, match="whitening"):
        projection.fit(moments, 3, "enc", whitening=1.5)
    with pytest.raises(ValueError, match="8-d embeddings"):
        projection.fit(moments, 3, "enc").apply(np.ones((2, 7), np.float32))


def test_from_mllib_is_the_same_projection() -> None:
    rows = embeddings(n=400, dim=16)
    moments = Moments.of(rows)
    ours = projection.fit(moments, 6, "enc", whitening=0.5)
    flipped = ours.components.T * np.array([1, -1, 1, -1, 1, -1])
    total = float(np.trace(moments.covariance()))
    theirs = projection.from_mllib(
        flipped, ours.explained_variance_ratio, moments.mean, total, "enc", 400, whitening=0.5
    )
    assert theirs.engine == "mllib"
    np.testing.assert_allclose(theirs.apply(rows), ours.apply(rows), atol=1e-5)


def test_the_id_covers_every_array_and_the_encoder() -> None:
    rows = embeddings(n=200, dim=10)
    moments = Moments.of(rows)
    one = projection.fit(moments, 4, "enc")
    assert projection.fit(moments, 4, "enc").projection_id == one.projection_id
    others = {
        projection.fit(moments, 3, "enc").projection_id,
        projection.fit(moments, 4, "other").projection_id,
        projection.fit(moments, 4, "enc", whitening=0.5).projection_id,
        projection.fit(Moments.of(rows[1:]), 4, "enc").projection_id,
    }
    assert len(others | {one.projection_id}) == 5


def test_overlap_counts_neighbours_kept() -> None:
    rng = np.random.default_rng(0)
    before, after = unit(rng.standard_normal((60, 8))), unit(rng.standard_normal((60, 3)))
    expected = []
    for i in range(60):
        near = [
            set(sorted((j for j in range(60) if j != i), key=lambda j: -rows[i] @ rows[j])[:5])
            for rows in (before, after)
        ]
        expected.append(len(near[0] & near[1]) / 5)
    assert projection.overlap_at_k(before, after, 5) == pytest.approx(np.mean(expected))
    assert projection.overlap_at_k(before, before, 5) == 1.0
    with pytest.raises(ValueError, match="overlap"):
        projection.overlap_at_k(before, after[1:], 5)
