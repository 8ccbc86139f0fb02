"""Damaged files, seeded: what transmission, bad disks and careless tools do to an image file's bytes."""

from __future__ import annotations

import random
from collections.abc import Callable


def damaged(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """``content`` with one kind of damage chosen by ``rng``, in one case out of four a second one on top."""
    for _ in range(1 if rng.random() < 0.75 else 2):
        content = rng.choice(KINDS)(content, other, rng)
    return content


def flip_bits(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to eight bits turned anywhere."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flip_header_bits(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to four bits turned in the first 96 bytes, where sizes, counts and offsets stand."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4) if data else 0):
        data[rng.randrange(min(96, len(data)))] ^= 1 << rng.randrange(8)
    return bytes(data)


def extreme_number(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Two or four bytes become a number at the edge of what they can hold."""
    at = rng.randrange(max(1, len(content)))
    extreme = rng.choice((b"\xff\xff", b"\x7f\xff", b"\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
    return content[:at] + extreme + content[at + len(extreme) :]


def truncate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(max(1, len(content)))]


def behead(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning is missing behind the first 12 bytes, so that it still looks like its format."""
    return content[:12] + content[rng.randrange(max(1, len(content))) :]


def delete_block(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A block from the middle is missing."""
    at = rng.randrange(max(1, len(content)))
    return content[:at] + content[at + rng.choice((1, 2, 16, 64, 512)) :]


def insert_block(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A block of noise or zeros stands in the middle."""
    at = rng.randrange(max(1, len(content)))
    n_bytes = rng.choice((1, 2, 16, 64, 512))
    return content[:at] + (rng.randbytes(n_bytes) if rng.random() < 0.5 else bytes(n_bytes)) + content[at:]


def overwrite_block(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A block is zeros, as a sector that could not be read."""
    at = rng.randrange(max(1, len(content)))
    n_bytes = min(rng.choice((4, 16, 64, 512)), len(content) - at)
    return content[:at] + bytes(n_bytes) + content[at + n_bytes :]


def concatenate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Another file follows, perhaps after this one was cut."""
    return content[: len(content) if rng.random() < 0.5 else rng.randrange(max(1, len(content)))] + other


def splice(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The middle of another file stands in this one."""
    at, start = rng.randrange(max(1, len(content))), rng.randrange(max(1, len(other)))
    piece = other[start : start + rng.choice((8, 64, 512))]
    return content[:at] + piece + content[at + len(piece) :]


KINDS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    flip_bits, flip_header_bits, extreme_number, truncate, behead,
    delete_block, insert_block, overwrite_block, concatenate, splice,
)  # fmt: skip
