"""The fold of people's decisions, against a naive editor with two stacks and against other orders of the same rows."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imgsearch.labels.decisions import (
    Decision,
    State,
    anchored,
    digest_of,
    fold,
    followed,
    needs_another_look,
    redo_target,
    standing,
    undo_target,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """Decisions of one or more people, a second apart."""

    def __init__(self) -> None:
        self.rows: list[Decision] = []

    def add(self, action: str, who: str = "ann", **values: Any) -> Decision:
        n = len(self.rows)
        kind = values.pop("kind", "cluster")
        decision = Decision(f"{n:03d}", START + timedelta(seconds=n), who, kind, action, **values)
        self.rows.append(decision)
        return decision

    def name(self, cluster: int, label: str, who: str = "ann") -> Decision:
        return self.add("name", who, cluster_id=cluster, label=label)

    def undo(self, who: str = "ann") -> bool:
        target = undo_target(self.rows, who)
        return target is not None and bool(self.add("undo", who, undoes=target.label_id, cluster_id=target.cluster_id))

    def redo(self, who: str = "ann") -> bool:
        target = redo_target(self.rows, who)
        return target is not None and bool(self.add("undo", who, undoes=target.label_id, cluster_id=target.cluster_id))


def names(state: State) -> dict[int, str | None]:
    return {cluster: state.label(cluster) for cluster in state.clusters}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.integers(0, 3), st.sampled_from("xyz")),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
    ),
    max_size=25,
)


@given(STEPS)
def test_undo_and_redo_are_those_of_an_editor(steps: list[tuple[Any, ...]]) -> None:
    log, done, undone = Log(), [], []  # the oracle: two stacks
    for step in steps:
        if step[0] == "name":
            log.name(step[1], step[2])
            done.append(step[1:])
            undone.clear()
        elif step[0] == "undo":
            assert log.undo() == bool(done)
            undone += [done.pop()] if done else []
        else:
            assert log.redo() == bool(undone)
            done += [undone.pop()] if undone else []
        assert names(fold(log.rows)) == dict(done)


@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(steps: list[tuple[Any, ...]], shuffler: random.Random) -> None:
    log = Log()
    for i, step in enumerate(steps):
        who = ("ann", "bob")[i % 2]
        if step[0] == "name":
            log.name(step[1], step[2], who)
        else:
            getattr(log, step[0])(who)
    shuffled = shuffler.sample(log.rows, len(log.rows))
    assert fold(shuffled) == fold(log.rows)
    assert undo_target(shuffled, "ann") == undo_target(log.rows, "ann")


@given(STEPS)
def test_everything_can_be_undone(steps: list[tuple[Any, ...]]) -> None:
    log = Log()
    for step in steps:
        if step[0] == "name":
            log.name(step[1], step[2])
    while log.undo():
        pass
    assert fold(log.rows) == State({}, {})
    while log.redo():
        pass
    assert names(fold(log.rows)) == {step[1]: step[2] for step in steps if step[0] == "name"}


def test_undo_takes_back_ones_own_decisions_only() -> None:
    log = Log()
    log.name(1, "mine", "ann")
    log.name(2, "theirs", "bob")
    assert log.undo("ann")
    assert names(fold(log.rows)) == {2: "theirs"}
    assert not log.undo("ann")


def test_an_undo_whose_clock_is_late_counts() -> None:
    """The undo was written on another machine, whose clock is behind: it has the earlier time."""
    first = Decision("b", START + timedelta(seconds=5), "ann", "cluster", "name", "x", 1)
    undo = Decision("a", START, "bob", "cluster", "undo", undoes="b")
    assert fold([first, undo]) == State({}, {})


def test_the_same_undo_twice_is_one() -> None:
    log = Log()
    log.name(1, "x")
    for who in ("ann", "bob"):
        log.add("undo", who, undoes="000")
    assert names(fold(log.rows)) == {}
    log.add("undo", "ann", undoes="001")  # ann's redo: bob's undo stands
    assert names(fold(log.rows)) == {}


def test_undos_in_a_circle_or_of_nothing_end() -> None:
    log = Log()
    log.add("undo", undoes="001")
    log.add("undo", undoes="000")
    log.add("undo", undoes="nowhere")
    assert {d.label_id for d in standing(log.rows)} >= {"002"}


def test_a_long_chain_of_undos() -> None:
    log = Log()
    log.name(1, "x")
    for n in range(5000):
        log.add("undo", undoes=f"{n:03d}")
    assert names(fold(log.rows)) == {1: "x"}


def test_states_of_a_cluster() -> None:
    log = Log()
    log.name(1, "pump")
    log.add("same_as", cluster_id=2, other_cluster_id=1)
    log.add("same_as", cluster_id=3, other_cluster_id=9)
    log.add("mixed", cluster_id=4)
    log.add("junk", cluster_id=5)
    state = fold(log.rows)
    assert [state.status(c) for c in range(1, 7)] == ["named", "named", "same_as", "mixed", "junk", "open"]
    assert [state.label(c) for c in range(1, 7)] == ["pump", "pump", None, None, None, None]
    log.name(1, "valve")
    assert fold(log.rows).label(2) == "valve"
    log.name(9, "motor")
    assert fold(log.rows).label(3) == "motor"


def test_two_clusters_the_same_as_each_other_have_no_name() -> None:
    log = Log()
    log.add("same_as", cluster_id=1, other_cluster_id=2)
    log.add("same_as", cluster_id=2, other_cluster_id=1)
    assert fold(log.rows).status(1) == "same_as"


def test_the_last_word_about_an_image() -> None:
    log = Log()
    log.add("split", kind="part", image_ids=("a", "b"), label="rust", cluster_id=1)
    log.add("name", kind="image", image_ids=("b",), label="dent")
    log.add("drop", kind="image", image_ids=("c",))
    state = fold(log.rows)
    assert {i: (d.action, d.label) for i, d in state.images.items()} == {
        "a": ("split", "rust"), "b": ("name", "dent"), "c": ("drop", None),
    }  # fmt: skip
    assert log.undo()
    assert "c" not in fold(log.rows).images


def test_a_name_follows_its_medoid_into_another_projection() -> None:
    log = Log()
    log.add("name", cluster_id=1, label="pump", medoid_id="m", projection_id="old", n_images=9, member_digest="d")
    log.add("name", cluster_id=1, label="gone", medoid_id="nowhere", projection_id="old")
    log.add("name", cluster_id=4, label="here", medoid_id="m", projection_id="new")
    moved = anchored(log.rows, {"m": 7}, "new")
    assert [d.cluster_id for d in moved] == [7, None, 4]
    assert names(fold(moved)) == {7: "pump", 4: "here"}


def test_when_a_cluster_is_looked_at_again() -> None:
    decision = Log().add(
        "name", cluster_id=1, label="x", n_images=20, member_digest=digest_of("abc"), projection_id="p"
    )
    assert not needs_another_look(decision, 500, digest_of("cba"), "q")  # the same images
    assert not needs_another_look(decision, 22, "other", "p")
    assert needs_another_look(decision, 23, "other", "p")
    assert needs_another_look(decision, 17, "other", "p")
    assert needs_another_look(decision, 20, "other", "q")


def test_what_is_not_the_same_is_kept_apart_from_names() -> None:
    log = [
        Decision("1", datetime(2026, 1, 1, tzinfo=UTC), "ann", "copies", "not_same", image_ids=("a", "b", "c", "a")),
        Decision("2", datetime(2026, 1, 2, tzinfo=UTC), "bob", "image", "name", label="pump", image_ids=("a",)),
    ]
    state = fold(log)
    assert state.apart == {frozenset("ab"), frozenset("ac")}
    assert set(state.images) == {"a"}
    assert state.images["a"].label == "pump"
    undo = Decision("3", datetime(2026, 1, 3, tzinfo=UTC), "ann", "copies", "undo", undoes="1")
    assert fold([*log, undo]).apart == frozenset()
    assert followed(state, []).apart == state.apart
