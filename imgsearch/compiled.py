"""Compilation to machine code, kept on disk where there is a place to keep it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import binding
from numba import config

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """``function`` compiled for this CPU at its first call, without the interpreter lock and on one thread.

    The machine code is cached beside the source, else under ``NUMBA_CACHE_DIR`` or the user's cache folder; where
    none of them can be written, or the package is imported from an archive, every process compiles for itself.
    """
    return _compile(function)


def compiled_sums(function: F) -> F:
    """As ``compiled``, and sums may be taken in any order: for bounds that are rounded up, never for scores."""
    return _compile(function, fastmath={"reassoc", "contract", "nsz"})


def _compile(function: F, **options: Any) -> F:
    plain = numba.njit(nogil=True, **options)
    try:
        kept = numba.njit(cache=True, nogil=True, **options)(function)
        folder = kept.stats.cache_path  # numba finds out too late, when it has compiled and wants to write
        os.makedirs(folder, exist_ok=True)
        return kept if os.access(folder, os.W_OK) else plain(function)
    except (RuntimeError, OSError):  # no place at all, or one that cannot be made
        return plain(function)


def cpu_features() -> frozenset[str]:
    """LLVM's names of what the code compiled here may use: this CPU's, or what ``NUMBA_CPU_FEATURES`` says."""
    name, told = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if name is None and told is None:
        return frozenset(feature for feature, has in binding.get_host_cpu_features().items() if has)
    return frozenset(feature[1:] for feature in (told or "").split(",") if feature.startswith("+"))
