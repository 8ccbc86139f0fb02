"""What the page says beside the pictures: metadata, colours, mixed labels, odd images, copies, drift. No Spark."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.report import confusion, drifting, ingested, strips
from imgsearch.report.album import Album
from imgsearch.report.clusters import drawn_clusters
from imgsearch.report.colouring import MAX_VALUES, RANGES, colouring
from imgsearch.report.data import ReportData
from imgsearch.report.metadata import DATE_WORDS, SITE_WORDS, carried, column_named


def report(**frames: object) -> ReportData:
    return ReportData("t", "w", "e", "p", **frames)  # type: ignore[arg-type]


def images(n: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": [f"i{k}" for k in range(n)], "path": [f"/p/{k}.jpg" for k in range(n)],
         "label": ["pump", None] * (n // 2), "site": ["A", "B"] * (n // 2),
         "visit_date": [pd.Timestamp("2024-05-01"), None] * (n // 2), "load": [1.5] * n}
    )  # fmt: skip


def test_where_when_and_the_label_stand_under_a_picture_and_everything_in_what_the_filter_finds() -> None:
    album = Album(images(), {})
    assert album.picture("i0").under == "A · 2024-05-01 · pump"
    assert album.picture("i1").under == "B"
    assert album.picture("i0").about == "label=pump · site=A · visit_date=2024-05-01 · load=1.5"
    assert album.picture("nobody").under == album.picture("nobody").about == ""
    assert carried(images().columns) == ["site", "visit_date", "load"]
    assert column_named(["x_TIME", "captured"], DATE_WORDS) == "captured"
    assert column_named([], SITE_WORDS) is None


def test_a_cluster_says_how_far_its_name_holds_and_where_its_images_are_from() -> None:
    values = [(7, "site", "A", 6), (7, "site", "B", 3), (7, "line", "1", 2), (8, "site", "B", 4), (8, "line", "2", 4)]
    data = report(
        images=images(),
        clusters=pd.DataFrame({"cluster_id": [7, 8], "size": [10, 4], "medoid_id": ["i0", "i1"], "cohesion": 0.5,
                               "label": ["pump", "valve"], "label_share": [0.52, 1.0]}),
        values=pd.DataFrame(values, columns=["cluster_id", "column", "value", "n"]),
    )  # fmt: skip
    one, two = drawn_clusters(data, Album(data.images, {}))
    assert (one.share, two.share) == (0.52, 1.0)
    assert one.mix == ["site A 60 %"]  # a fifth of it is of line 1: not said
    assert two.mix == ["site B 100 %", "line 2 100 %"]
    assert "site=b" in one.search_text
    assert "line=1" in one.search_text


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False, width=32)), min_size=1, max_size=80)
)
def test_numbers_are_coloured_by_ranges_that_hold_them(values: list[float | None]) -> None:
    found = colouring("sharpness", values)
    if found is None:
        return
    assert len(found.codes) == len(values)
    assert all(0 <= code <= len(found.values) for code in found.codes)
    none = [value is None or value != value for value in values]
    assert [code == len(found.values) for code in found.codes] == none or not found.is_ranges
    if found.is_ranges:
        assert len(found.values) <= RANGES
        numbers = [(v, c) for v, c, missing in zip(values, found.codes, none, strict=True) if not missing]
        ordered = [code for _, code in sorted(numbers, key=lambda pair: pair[0])]
        assert ordered == sorted(ordered)
        assert found.counts == [ordered.count(code) for code in range(len(found.values))]


def test_names_are_coloured_by_the_commonest() -> None:
    values = [f"s{k}" for k in range(12) for _ in range(12 - k)] + [None]
    found = colouring("site", values)
    assert found is not None
    assert found.values == [f"s{k}" for k in range(MAX_VALUES)]
    assert found.counts == [12 - k for k in range(MAX_VALUES)]
    assert found.codes[-1] == found.codes[-2] == MAX_VALUES
    assert colouring("serial", [f"n{k}" for k in range(30)]) is None  # another for each
    assert colouring("site", ["A", "A", None]) is None  # it tells nothing apart


def test_labels_against_clusters() -> None:
    rows = [("pump", "pump", 60), ("pump", "motor", 30), ("pump", None, 10), ("motor", "motor", 40), ("fan", "pump", 5)]
    rows += [(f"rare {k}", "pump", 1) for k in range(20)]
    table = confusion.table(report(confusion=pd.DataFrame(rows, columns=["label", "cluster_label", "n"])))
    assert table is not None
    assert [row.label for row in table.rows[:3]] == ["pump", "motor", "fan"]
    assert len(table.rows) == confusion.MAX_LABELS
    assert table.n_labels == 23
    assert table.rows[0].cells[:2] == [60, 30]
    assert table.columns[-1] == confusion.NO_NAME
    assert table.rows[0].cells[-1] == 10
    assert all(sum(row.cells) == row.n for row in table.rows)
    assert table.rows[0].own == 0.6
    assert table.agreeing == pytest.approx(100 / 165)
    assert confusion.table(report(confusion=pd.DataFrame(rows[:1], columns=["label", "cluster_label", "n"]))) is None


def test_strips_begin_with_the_worst_and_copies_with_the_representative() -> None:
    frame = pd.DataFrame({"kind": ["dark", "odd", "dark"], "image_id": ["i0", "i1", "i2"], "value": [0.3, -0.1, 0.01]})
    copies = pd.DataFrame(
        [("i0", "i1", "near", 0.96, 3), ("i0", "i0", "representative", 1.0, 3), ("i2", "i2", "representative", 1.0, 7),
         ("i0", "i3", "near", 0.99, 3)],
        columns=["representative_id", "image_id", "kind", "score", "group_size"],
    )  # fmt: skip
    data = report(images=images(), strips=frame, copies=copies, n_copies_total=(13, 40))
    album = Album(data.images, {})
    odd, dark = strips.odd_strips(data, album)
    assert [p.image_id for p, _ in odd.pictures] == ["i1"]
    assert [(p.image_id, caption) for p, caption in dark.pictures] == [("i2", "0.010"), ("i0", "0.300")]
    groups = strips.copy_strips(data, album)
    assert [[p.image_id for p, _ in group.pictures] for group in groups] == [["i2"], ["i0", "i3", "i1"]]
    assert groups[0].title == "7 files"
    assert "40 files are copies" in strips.copies_note(data)
    assert "the 12 largest" in strips.copies_note(data)
    assert strips.copies_note(report()) == strips.copies_note(report(n_copies_total=(0, 0))) == ""


def test_the_folder_chart_counts_every_folder() -> None:
    """50 of 500 folders came with the data: the rest is counted from the totals, not from what came."""
    folders = pd.DataFrame({"folder": [f"/in/f{k:02d}" for k in range(50)], "n": range(100, 50, -1)})
    data = report(folders=folders, n_folders_total=500, n_images_total=10_000)
    bars = ingested.by_folder(data)
    shown = sum(range(100, 88, -1))
    assert (bars[-1].name, bars[-1].n) == ("488 more", f"{10_000 - shown:,}")
    assert len(bars) == 13
    assert [bar.name for bar in ingested.further_folders(data)] == [f"f{k}" for k in range(12, 50)]
    few = report(folders=folders.iloc[:12], n_folders_total=12, n_images_total=10_000)
    assert len(ingested.by_folder(few)) == 12
    assert ingested.further_folders(few) == []


def test_drift_goes_from_left_to_right_and_low_is_low() -> None:
    days = pd.to_datetime(["2026-01-03", "2026-01-01", "2026-01-02"])
    rows = pd.DataFrame(
        {"measured_at": days, "event": ["assign", "fit", "assign"],
         "images": [5, 100, 9], "outlier_share": 0.1, "mean_score": [0.5, 0.8, 0.7], "refit_due": False, "reason": None}
    )  # fmt: skip
    drawn = drifting.draw(report(drift=rows))
    assert drawn is not None
    assert [step.run["mean_score"] for step in drawn.steps] == [0.8, 0.7, 0.5]
    assert [step.x for step in drawn.steps] == sorted(step.x for step in drawn.steps)
    assert drawn.steps[0].y < drawn.steps[1].y < drawn.steps[2].y
    assert drawn.listed[0]["mean_score"] == 0.5
    assert drifting.draw(report(drift=rows.iloc[:1])) is None
