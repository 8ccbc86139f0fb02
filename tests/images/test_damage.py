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


SECRET = b"root:x:0:Q7wZ"


def quoted(content: bytes) -> str | None:
    """The detail of a refusal where it holds four bytes of ``SECRET``."""
    try:
        decode(content, (32, 32), LIMITS)
    except ImageError as error:
        pieces = [SECRET[i : i + 4].decode() for i in range(len(SECRET) - 3)]
        return error.detail if any(piece in error.detail for piece in pieces) else None
    return None


@pytest.mark.parametrize("kind", sorted(files()))
def test_a_detail_never_quotes_the_file(kind: str) -> None:
    content = files()[kind]
    spots = sorted({*range(min(len(content), 80)), len(content) // 2})
    told = {quoted(content[:at] + SECRET + content[at + len(SECRET) :]) for at in spots}
    told |= {quoted(content[:at] + SECRET) for at in spots}
    assert told == {None}


def test_text_behind_any_signature_is_not_quoted() -> None:
    heads = [b"", b"P1\n", b"P2\n", b"P3 1 1 255 ", b"P6\n", b"\0\0\0\x20ftyp", b"II*\0", b"BM", b"\x89PNG\r\n\x1a\n"]
    assert {quoted(head + SECRET * 4) for head in heads} == {None}
