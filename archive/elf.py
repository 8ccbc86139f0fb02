"""Shared libraries made smaller and movable, by editing their bytes (ELF, 64 bit, little-endian; System V ABI).

A loader reads only what the program header points at. Symbol tables for linkers and debuggers (a tenth of the whole
archive) lie behind that and can go; so can the name of a needed library that none of the symbols come from.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"\x7fELF\x02\x01"
LOAD, DYNAMIC = 1, 2  # kinds of segments
NULL, NEEDED, STRTAB, SONAME, RPATH, RUNPATH = 0, 1, 5, 14, 15, 29  # tags of dynamic entries


class Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


def is_elf(content: bytes) -> bool:
    """Whether this is a program or a library that can be edited here."""
    return content[:6] == MAGIC


def trimmed(content: bytes) -> bytes:
    """The library without what lies behind its last segment, and without the section table that lay there."""
    table, size, count = _program_header(content)
    end = max([table + size * count, *(s.offset + s.size for s in segments(content))])
    edited = bytearray(content[:end])
    struct.pack_into("<Q", edited, 40, 0)  # e_shoff
    struct.pack_into("<HHH", edited, 58, 64, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
    return bytes(edited)


def needed(content: bytes) -> list[str]:
    """Names of the libraries that the loader will look for."""
    return [_name(content, value) for _, tag, value in _dynamic(content) if tag == NEEDED]


def without_needed(content: bytes, names: set[str]) -> bytes:
    """The library without those entries of its ``needed``. Symbols that came from them would then be missing."""
    entries = list(_dynamic(content))
    kept = [(tag, value) for _, tag, value in entries if tag != NEEDED or _name(content, value) not in names]
    edited = bytearray(content)
    for number, (place, _, _) in enumerate(entries):
        struct.pack_into("<qQ", edited, place, *(kept[number] if number < len(kept) else (NULL, 0)))
    return bytes(edited)


def segments(content: bytes) -> list[Segment]:
    """The program header."""
    table, size, count = _program_header(content)
    rows = (struct.unpack_from("<IIQQQQQQ", content, table + number * size) for number in range(count))
    return [Segment(kind, offset, address, filed) for kind, _, offset, address, _, filed, _, _ in rows]


def _program_header(content: bytes) -> tuple[int, int, int]:
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    return table, size, count


def _dynamic(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(place in the file, tag, value) of each dynamic entry before the last."""
    for segment in segments(content):
        if segment.kind == DYNAMIC:
            for place in range(segment.offset, segment.offset + segment.size, 16):
                tag, value = struct.unpack_from("<qQ", content, place)
                if tag == NULL:
                    return
                yield place, tag, value


def _name(content: bytes, offset: int) -> str:
    address = next(value for _, tag, value in _dynamic(content) if tag == STRTAB)
    table = next(
        address - s.address + s.offset
        for s in segments(content)
        if s.kind == LOAD and s.address <= address < s.address + s.size
    )
    return content[table + offset : content.index(b"\0", table + offset)].decode()
