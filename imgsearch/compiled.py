"""Compilation to machine code, kept on disk where there is a place to keep it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding
from numba import config
from numba.core.caching import InTreeCacheLocator

LOCATORS = "CACHE_LOCATOR_CLASSES"  # where numba keeps machine code: classes asked in turn, by name
Kernel = Callable[..., Any]  # what numba makes of it takes any arguments: it is typed by those it gets


def compiled(function: Kernel) -> Kernel:
    """``function`` compiled for this CPU at its first call, without the interpreter lock and on one thread.

    The machine code is cached: under ``NUMBA_CACHE_DIR``, beside the source, or in one folder of this machine (see
    ``KernelCache``). Where none of them can be written, every process compiles for itself.
    """
    return _compile(function)


def compiled_sums(function: Kernel) -> Kernel:
    """As ``compiled``, and sums may be taken in any order: for bounds that are rounded up, never for scores."""
    return _compile(function, fastmath={"reassoc", "contract", "nsz"})


def _compile(function: Kernel, **options: Any) -> Kernel:
    before: str = getattr(config, LOCATORS)
    settings = vars(config)  # numba's settings are made when it is imported: mypy knows none of them
    settings[LOCATORS] = before or f"UserProvidedCacheLocator,{__name__}.{KernelCache.__name__}"
    try:
        dispatcher = numba.njit(cache=True, nogil=True, **options)(function)
        folder = dispatcher.stats.cache_path  # numba finds out too late, when it has compiled and wants to write
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK):
            return dispatcher
    except (RuntimeError, OSError):  # no place at all, or one that cannot be made
        pass
    finally:
        settings[LOCATORS] = before
    return numba.njit(nogil=True, **options)(function)


class KernelCache(InTreeCacheLocator):
    """Machine code beside its source; where that cannot be written, in one folder of this machine.

    So an executor's code is compiled once a machine, whether the package came as a zip (no folder at all) or in an
    archive that belongs to somebody else. What an archive brought compiled is copied to the machine's folder first.
    Machine code is run, so a folder that others can write to is not used.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[no-untyped-call]
        self._source = source_of(py_func.__module__, py_file)  # of its folder: a kernel calls others of the same
        beside = Path(self._cache_path)
        if not (os.path.isfile(py_file) and _is_writable(beside)):
            self._cache_path = str(machine_folder(self._source))
            _copy_missing(beside, Path(self._cache_path), Path(py_file).stem)

    def get_source_stamp(self) -> bytes:
        """What the machine code is of: another stamp, and it is compiled again."""
        return hashlib.sha256(self._source).digest()

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> KernelCache | None:
        """The cache of a function; ``None`` where there is no place for one."""
        try:
            return cls(py_func, py_file)
        except (ImportError, OSError):
            return None


@lru_cache
def source_of(module: str, file: str) -> bytes:
    """The text of all modules of a module's package, from a folder or a zip; of a script, its own.

    Compiled functions are linked into those that call them, so each depends on more than its own file. Raises
    ``OSError`` or ``ImportError`` where the text is nowhere.
    """
    package = module.rpartition(".")[0]
    if not package:
        return Path(file).read_bytes()
    entries = sorted(files(package).iterdir(), key=lambda entry: entry.name)
    content = b"".join(entry.read_bytes() for entry in entries if entry.name.endswith(".py"))
    if not content:
        raise ImportError(f"{module} has no source")
    return content


def machine_folder(source: bytes) -> Path:
    """Where the machine code of this source is kept on this machine: the user's cache folder, else the temporary one.

    Raises ``OSError`` where there is none that only this user can write.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imgsearch"
    temporary = Path(tempfile.gettempdir()) / f"imgsearch-{os.getuid()}"
    for root in (caches, temporary):
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        entry = root.stat()
        if entry.st_uid == os.getuid() and not entry.st_mode & 0o022 and _is_writable(root):
            return root / "kernels" / hashlib.sha256(source).hexdigest()[:16]
    raise PermissionError(f"neither {caches} nor {temporary} is a folder of this user's own")


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in ``folder``, which is made where that is possible."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _copy_missing(source: Path, target: Path, module: str) -> None:
    """What was compiled beside the source, unless the machine's folder has it already."""
    if not source.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob(f"{module}.*.nb[ci]")):
        if not (target / path.name).exists():
            part = target / f"{path.name}.{os.getpid()}"
            shutil.copyfile(path, part)
            part.replace(target / path.name)


def cpu_features() -> frozenset[str]:
    """LLVM's names of what the code compiled here may use: this CPU's, or what ``NUMBA_CPU_FEATURES`` says."""
    name, listed = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if name is None and listed is None:
        return frozenset(feature for feature, has in binding.get_host_cpu_features().items() if has)
    return frozenset(feature[1:] for feature in (listed or "").split(",") if feature.startswith("+"))
