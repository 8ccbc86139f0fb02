"""What a Python worker keeps."""

from __future__ import annotations

import os

import pytest

from imgsearch.lake import worker
from imgsearch.lake.worker import builds, keep


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_objects", {})
    monkeypatch.setattr(worker, "_builds", {})


def test_built_once_and_the_same_thing() -> None:
    first = keep(("encoder", "a", 1), object)
    assert keep(("encoder", "a", 1), object) is first
    assert builds(("encoder", "a", 1)) == (os.getpid(), 1)
    assert builds(("encoder", "b", 1)) == (os.getpid(), 0)


def test_a_second_of_its_kind_frees_the_first() -> None:
    keep(("encoder", "a"), object)
    kept = keep(("codebook", "x"), object)
    keep(("encoder", "b"), object)
    assert set(worker._objects) == {("encoder", "b"), ("codebook", "x")}
    assert keep(("codebook", "x"), object) is kept
    keep(("encoder", "a"), object)
    assert builds(("encoder", "a"))[1] == 2


def test_none_is_kept_too() -> None:
    calls: list[int] = []
    for _ in range(2):
        keep("nothing", lambda: calls.append(1))
    assert calls == [1]


def test_a_failed_build_is_tried_again() -> None:
    def broken() -> object:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        keep("k", broken)
    assert keep("k", lambda: 5) == 5
    assert builds("k")[1] == 1
