"""Editing shared libraries: a real one still loads and says the same when it is smaller and needs less."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archive import elf

MATH = Path(np.__file__).parent / "_core"
LIBRARY = next(MATH.glob("_multiarray_umath.*.so"))


def test_a_trimmed_library_is_smaller_and_still_loads(tmp_path: Path) -> None:
    whole = LIBRARY.read_bytes()
    small = elf.trimmed(whole)
    assert elf.is_elf(small)
    assert len(small) < len(whole)
    assert elf.segments(small) == elf.segments(whole)
    assert elf.needed(small) == elf.needed(whole)
    assert elf.trimmed(small) == small
    path = tmp_path / "small.so"
    path.write_bytes(elf.trimmed(Path(sys.modules["_ctypes"].__file__ or "").read_bytes()))
    code = f"import ctypes; print(ctypes.CDLL({str(path)!r}).PyInit__ctypes is not None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


def test_needed_is_what_the_loader_reads_and_can_be_taken_out(tmp_path: Path) -> None:
    whole = LIBRARY.read_bytes()
    names = elf.needed(whole)
    assert any(name.startswith("libc.so") for name in names)
    openblas = {name for name in names if "openblas" in name}
    assert openblas
    less = elf.without_needed(whole, openblas)
    assert elf.needed(less) == [name for name in names if name not in openblas]
    assert len(less) == len(whole)
    assert elf.without_needed(whole, set()) == whole
    path = tmp_path / "less.so"
    path.write_bytes(less)
    with pytest.raises(OSError, match=r"undefined symbol|cannot open"):  # its symbols came from there
        ctypes.CDLL(str(path), ctypes.RTLD_LOCAL)


def test_what_is_no_library() -> None:
    assert not elf.is_elf(b"#!/bin/sh\n")
    assert not elf.is_elf(b"\x7fELF\x01\x01")
