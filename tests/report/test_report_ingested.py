"""Bars of the collection and the table of refusals."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.report import ingested
from imgsearch.report.data import ReportData


def report(**frames: pd.DataFrame) -> ReportData:
    return ReportData("t", "w", "e", "p", **frames)  # type: ignore[arg-type]


def test_formats_count_and_missing_is_unknown() -> None:
    data = report(images=pd.DataFrame({"image_id": list("abcd"), "format": ["PNG", "JPEG", "JPEG", None]}))
    assert [(b.name, b.n, b.share) for b in ingested.by_format(data)] == [
        ("JPEG", "2", 1.0), ("PNG", "1", 0.5), ("unknown", "1", 0.5),
    ]  # fmt: skip


def test_given_totals_win_over_the_sample() -> None:
    data = report(
        images=pd.DataFrame({"format": ["PNG"], "path": ["/a/b.png"], "width": [10], "height": [10]}),
        formats=pd.DataFrame({"format": ["GIF"], "n": [12_000]}),
        folders=pd.DataFrame({"folder": ["/a"], "n": [12_000]}),
        sizes=pd.DataFrame({"longer_side": [512], "n": [12_000]}),
        reasons=pd.DataFrame({"reason": ["x"], "stage": ["embed"], "n": [5]}),
    )
    bars = [*ingested.by_format(data), *ingested.by_folder(data), *ingested.by_size(data)]
    assert [(b.name, b.n) for b in bars] == [("GIF", "12,000"), ("/a", "12,000"), ("512–1,023", "12,000")]
    assert ingested.refused_by_reason(data) == [{"reason": "x", "stage": "embed", "n": "5", "share": 1.0}]


def test_folders_drop_what_they_share_and_sum_what_is_left_over() -> None:
    paths = [f"s3://lake/shop/f{i:02d}/x{j}.jpg" for i in range(20) for j in range(20 - i)]
    bars = ingested.by_folder(report(images=pd.DataFrame({"path": paths})))
    assert bars[0] == ingested.Bar("f00", "20", 1.0, "s3://lake/shop/f00")
    assert (bars[-1].name, bars[-1].n) == ("8 more", str(sum(range(1, 9))))
    assert len(bars) == 13


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), min_size=1, max_size=30))
def test_sizes_are_doublings_without_gaps(sides: list[tuple[int, int]]) -> None:
    bars = ingested.by_size(report(images=pd.DataFrame(sides, columns=["width", "height"])))
    expected = Counter(2 ** math.floor(math.log2(max(pair))) for pair in sides)
    steps = [int(bar.name.split("–")[0].replace(",", "")) for bar in bars]
    assert steps == [min(expected) * 2**i for i in range(len(steps))]
    assert steps[-1] == max(expected)
    assert {s: int(b.n) for s, b in zip(steps, bars, strict=True) if b.n != "0"} == dict(expected)


def test_refusals_by_reason_and_stage_and_examples_of_each() -> None:
    rows = [(f"/a/{i:03d}.jpg", "ingest", "truncated", "short") for i in range(100)]
    rows += [("/a/z.jpg", "embed", "zero_vector", None)]
    data = report(quarantine=pd.DataFrame(rows, columns=["path", "stage", "reason", "detail"]))
    assert [(r["reason"], r["stage"], r["n"]) for r in ingested.refused_by_reason(data)] == [
        ("truncated", "ingest", "100"), ("zero_vector", "embed", "1"),
    ]  # fmt: skip
    examples = ingested.refused_examples(data)
    assert len(examples) == 40
    assert examples[-1] == {
        "name": "z.jpg",
        "path": "/a/z.jpg",
        "stage": "embed",
        "reason": "zero_vector",
        "detail": "",
    }
