"""Damaged files are decoded or refused: a small, seeded part of the fuzz proof (the whole: ``benchmarks/fuzz.py``)."""

from __future__ import annotations

import random
import time

import pytest
from support.damage import KINDS, damaged
from support.image_files import files

from imgsearch.images.decode import DecodeLimits, ImageError, decode, read_header
from imgsearch.images.formats import REASONS

LIMITS = DecodeLimits(max_pixels=4_000_000, seconds=2.0)


def outcome(content: bytes) -> str:
    """``decoded`` or the reason; anything else that is raised fails the test."""
    try:
        decoded = decode(content, (32, 32), LIMITS)
    except ImageError as error:
        return error.reason if error.detail else "no detail"
    return "decoded" if decoded.shape == (32, 32, 3) else "wrong shape"


def header_outcome(content: bytes) -> str:
    try:
        header = read_header(content, LIMITS)
    except ImageError as error:
        return error.reason
    return "decoded" if 0 < header.width * header.height <= LIMITS.max_pixels else "wrong size"


@pytest.mark.parametrize("kind", sorted(files()))
def test_damaged_files_are_decoded_or_refused(kind: str) -> None:
    rng = random.Random(kind)
    others = list(files().values())
    made = [damaged(files()[kind], rng.choice(others), rng) for _ in range(40)]
    started = time.perf_counter()
    outcomes = [outcome(content) for content in made]
    assert set(outcomes) <= {"decoded", *REASONS}
    assert set(outcomes) != {"decoded"}  # the damage does damage
    assert {header_outcome(content) for content in made} <= {"decoded", *REASONS}
    assert time.perf_counter() - started < 20.0


def test_damage_is_seeded_and_changes_the_file() -> None:
    content, other = files()["jpeg"], files()["png"]
    for kind in KINDS:
        made = [kind(content, other, random.Random(3)) for _ in range(2)]
        assert made[0] == made[1]
    assert sum(damaged(content, other, random.Random(n)) != content for n in range(100)) > 95
    assert all(kind(b"", b"", random.Random(0)) is not None for kind in KINDS)
