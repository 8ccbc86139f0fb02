"""What a Python worker keeps: built once, used by every task that runs in it after (Spark re-uses its workers)."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import TypeVar

Value = TypeVar("Value")

_objects: dict[Hashable, object] = {}
_builds: dict[Hashable, int] = {}


def keep(key: Hashable, build: Callable[[], Value]) -> Value:
    """What ``build`` made for ``key`` in this process; built now if it never was.

    One value at a time is kept for each first element of a tuple key, so that a second encoder frees the first.
    """
    if key not in _objects:
        kind = key[0] if isinstance(key, tuple) else key
        for other in [k for k in _objects if (k[0] if isinstance(k, tuple) else k) == kind]:
            del _objects[other]
        _objects[key] = build()
        _builds[key] = _builds.get(key, 0) + 1
    return _objects[key]  # type: ignore[return-value]


def builds(key: Hashable) -> tuple[int, int]:
    """(process id, how often ``key`` was built in it); what a test of "once a worker" reads."""
    return os.getpid(), _builds.get(key, 0)
