import pandas as pd

from imgsearch.report.curve import HEIGHT, MARGIN, WIDTH, draw
from imgsearch.report.data import ReportData
from imgsearch.report.page import render


def data(curve: pd.DataFrame) -> ReportData:
    clusters = pd.DataFrame({"cluster_id": [0, 1], "size": [3, 4], "medoid_id": ["a", "b"], "cohesion": [0.9, 0.8]})
    return ReportData(title="T", warehouse="/w", encoder="e", projection="p", clusters=clusters, curve=curve)


TRIED = pd.DataFrame({"n_clusters": [8, 2, 4], "criterion": [0.2, 0.6, 0.3], "chosen": [False, False, True]})


def test_counts_run_from_left_to_right_and_costs_fall() -> None:
    curve = draw(data(TRIED))
    assert curve is not None
    assert [dot.n_clusters for dot in curve.dots] == [2, 4, 8]
    assert [dot.x for dot in curve.dots] == [MARGIN, WIDTH / 2, WIDTH - MARGIN]
    assert curve.dots[0].y == MARGIN
    assert curve.dots[2].y == HEIGHT - MARGIN
    assert curve.chosen == 4
    assert curve.line.startswith(f"M{MARGIN}.0 {MARGIN}.0L")


def test_the_page_shows_it_only_where_a_count_was_picked() -> None:
    page = render(data(TRIED))
    assert "Why 4 clusters" in page
    assert "8 clusters: 0.200" in page
    for none in (pd.DataFrame(), TRIED.head(1), TRIED.assign(criterion=float("nan"))):
        assert draw(data(none)) is None
        assert 'class="curve"' not in render(data(none))


def test_a_flat_curve_has_a_place_too() -> None:
    curve = draw(data(TRIED.assign(criterion=0.5)))
    assert curve is not None
    assert {dot.y for dot in curve.dots} == {float(MARGIN)}
