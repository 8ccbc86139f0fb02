import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from imgsearch.labels import metrics


@pytest.mark.parametrize(("n_clusters", "n_labels"), [(9, 4), (1, 4), (4, 1), (1, 1), (50, 50)])
def test_nmi_from_sums_is_scikit_learns(n_clusters: int, n_labels: int) -> None:
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, n_clusters, 400), rng.integers(0, n_labels, 400)
    cells = np.zeros((n_clusters, n_labels))
    np.add.at(cells, (clusters, labels), 1)
    logs = [float((n[n > 0] * np.log(n[n > 0])).sum()) for n in (cells, cells.sum(axis=1), cells.sum(axis=0))]
    table = metrics.Contingency(400, *logs, n_clusters, n_labels)
    assert metrics.nmi(table) == pytest.approx(normalized_mutual_info_score(labels, clusters), abs=1e-9)
