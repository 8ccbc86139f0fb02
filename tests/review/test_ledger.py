"""The ledger in memory is the fold of its table, however its rows came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from imgsearch.labels.decisions import Decision, fold
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review.ledger import Ledger
from imgsearch.tables import LABELS

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.integers(0, 3), st.sampled_from("xyz")),
        st.tuples(st.just("split"), st.integers(0, 3), st.sampled_from("xyz")),
        st.tuples(st.sampled_from(["undo", "redo"])),
    ),
    max_size=8,
)


def take(ledger: Ledger, step: tuple[Any, ...]) -> None:
    if step[0] == "undo":
        ledger.undo("ann")
    elif step[0] == "redo":
        ledger.redo("ann")
    elif step[0] == "name":
        ledger.add("ann", "cluster", "name", cluster_id=step[1], label=step[2])
    else:
        ledger.add("ann", "part", "split", cluster_id=step[1], image_ids=(f"i{step[1]}",), label=step[2])


@settings(max_examples=15)
@given(STEPS)
def test_steps_lead_where_the_fold_does(tmp_path_factory: Any, steps: list[tuple[Any, ...]]) -> None:
    folder = DeltaFolder.open(str(tmp_path_factory.mktemp("w")))
    ledger = Ledger(folder, {}, "p")
    for step in steps:
        take(ledger, step)
        assert ledger.state == fold(ledger.decisions)
    assert Ledger(folder, {}, "p").state == ledger.state


def test_an_undo_that_comes_before_what_it_undoes(tmp_path: Path) -> None:
    """Another machine's rows are read in whatever order their files come."""
    folder = DeltaFolder.open(str(tmp_path))
    ledger = Ledger(folder, {}, "p")
    done = ledger.add("ann", "cluster", "name", cluster_id=1, label="x")
    undo = Decision("0", done.made_at, "bob", "cluster", "undo", undoes="late", cluster_id=2)
    late = Decision("late", done.made_at.replace(year=2999), "bob", "cluster", "name", "y", 2)
    for decision in (undo, late):
        folder.append(LABELS, [decision._asdict() | {"image_ids": []}])
        ledger._polled = float("-inf")
        ledger.refresh()
    assert {c: d.label for c, d in ledger.state.clusters.items()} == {1: "x"}
