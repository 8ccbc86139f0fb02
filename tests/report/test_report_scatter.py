"""Places on the map."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.report.palette import assign_marks
from imgsearch.report.scatter import WIDTH, Point, centres, draw, fit

COORDINATE = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=20))
def test_all_points_lie_inside_and_keep_their_proportions(places: list[tuple[float, float]]) -> None:
    fitted, height = fit([Point(x, y, None, i) for i, (x, y) in enumerate(places)])
    assert all(-1e-6 <= p.x <= WIDTH + 1e-6 and -1e-6 <= p.y <= height + 1e-6 for p in fitted)
    across = max(x for x, _ in places) - min(x for x, _ in places)
    up = max(y for _, y in places) - min(y for _, y in places)
    drawn_across = max(p.x for p in fitted) - min(p.x for p in fitted)
    drawn_up = max(p.y for p in fitted) - min(p.y for p in fitted)
    assert drawn_across * up == pytest.approx(drawn_up * across, rel=1e-6, abs=1e-3)


def test_upwards_is_upwards() -> None:
    (low, high), _ = fit([Point(0, 0, None, 0), Point(1, 5, None, 1)])
    assert high.y < low.y


def test_centres_are_medians_and_ignore_strangers() -> None:
    points = [Point(0, 0, 1, 0), Point(1, 2, 1, 1), Point(100, 50, 1, 2), Point(9, 9, None, 3)]
    assert centres(points) == {1: (1, 2)}


def test_names_do_not_cover_each_other() -> None:
    points = [Point(i % 7, i // 7, i, i) for i in range(49)] + [Point(0.01, 0, 50, 49)]
    names = {i: f"Cluster {i}" for i in [*range(49), 50]}
    drawn = draw(points, assign_marks(list(names), centres(points)), names)
    assert len(drawn.layers) == 50
    assert drawn.names[0].cluster == 0
    assert 50 not in {name.cluster for name in drawn.names}
    assert len({(round(n.left), round(n.top)) for n in drawn.names}) == len(drawn.names)


def test_clusters_without_a_mark_are_drawn_as_strangers() -> None:
    drawn = draw([Point(0, 0, 3, 0), Point(1, 1, None, 1)], {}, {})
    assert [layer.cluster for layer in drawn.layers] == [None]
    assert drawn.layers[0].path.count("M") == 2
