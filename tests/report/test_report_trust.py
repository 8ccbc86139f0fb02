import numpy as np
import pandas as pd
import pytest

from imgsearch.report.curve import HEIGHT, MARGIN, WIDTH
from imgsearch.report.data import ReportData
from imgsearch.report.page import render
from imgsearch.report.trust import draw

METRICS = pd.DataFrame({"metric": ["confidence_ece"], "k": [None], "value": [0.031]})


def data(confidence: list[float], images: list[int], metrics: pd.DataFrame | None = None) -> ReportData:
    clusters = pd.DataFrame({"cluster_id": [0], "size": [5], "medoid_id": ["a"], "cohesion": [0.9]})
    doubt = pd.DataFrame({"confidence": confidence, "images": images})
    return ReportData(
        title="T", warehouse="/w", encoder="e", projection="p", clusters=clusters, doubt=doubt,
        metrics=pd.DataFrame() if metrics is None else metrics,
    )  # fmt: skip


def test_the_surest_labels_come_first() -> None:
    trust = draw(data([0.5, np.nan, 0.9], [30, 20, 50], METRICS))
    assert trust is not None
    assert (trust.coverage, trust.ece) == (0.8, 0.031)
    at = {round(mark.coverage, 2): mark.accuracy for mark in trust.marks}
    assert at[0.2] == at[0.4] == pytest.approx(0.9)
    assert at[0.8] == pytest.approx((0.9 * 50 + 0.5 * 30) / 80)
    assert [mark.x for mark in trust.marks] == sorted(mark.x for mark in trust.marks)
    assert all(MARGIN <= m.x <= WIDTH - MARGIN and MARGIN <= m.y <= HEIGHT - MARGIN for m in trust.marks)
    assert trust.line.startswith(f"M{MARGIN} ")


def test_no_label_has_no_curve() -> None:
    assert draw(data([], [])) is None
    assert draw(data([np.nan], [7])) is None


def test_the_page_says_what_it_is_worth() -> None:
    page = render(data([0.5, np.nan, 0.9], [30, 20, 50], METRICS))
    assert "80 % have a label" in page
    assert "0.75 of all" in page
    assert "0.031" in page
    unmeasured = render(data([0.5], [30]))
    assert "was not measured" in unmeasured
    assert "expected to be right" not in unmeasured
    assert 'id="trust"' not in render(data([], []))
