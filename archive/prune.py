"""What an executor never uses of the packages that it imports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from archive import elf

#: Of the standard library.
STDLIB = """
test idlelib tkinter turtledemo turtle.py lib2to3 ensurepip venv pydoc_data distutils config-* __phello__*
site-packages dist-packages sitecustomize.py EXTERNALLY-MANAGED antigravity.py
lib-dynload/_test* lib-dynload/xx* lib-dynload/_xx* lib-dynload/_tkinter* lib-dynload/_curses* lib-dynload/readline*
lib-dynload/_gdbm* lib-dynload/_dbm* lib-dynload/nis* lib-dynload/_crypt.* lib-dynload/ossaudiodev* lib-dynload/spwd*
lib-dynload/_sqlite3* lib-dynload/_codecs_* lib-dynload/_multibytecodec*
"""
#: Of the standard library too, where there is no driver: pyarrow's filesystems ask for it.
ONLY_DRIVERS = "lib-dynload/_ssl*"
#: Of the installed packages. Spark's JVM reads Parquet and object stores; workers only see Arrow batches.
PACKAGES = """
bin share *.dist-info/RECORD *.dist-info/INSTALLER *.dist-info/REQUESTED
pyarrow/include pyarrow/includes pyarrow/src pyarrow/*.pyx pyarrow/*.pxi pyarrow/*.pxd
pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.* pyarrow/*flight* pyarrow/*s3* pyarrow/*substrait*
pyarrow/libparquet* pyarrow/_parquet* pyarrow/parquet pyarrow/libarrow_dataset* pyarrow/_dataset*
pyarrow/libarrow_acero* pyarrow/_acero* pyarrow/_gcsfs* pyarrow/_azurefs* pyarrow/_hdfs* pyarrow/_orc*
pyarrow/_feather* pyarrow/_csv.* pyarrow/_json.* pyarrow/_fs.* pyarrow/_pyarrow_cpp_tests*
onnxruntime/capi/libonnxruntime.so* onnxruntime/tools onnxruntime/transformers onnxruntime/quantization
onnxruntime/datasets onnxruntime/backend google protobuf-* flatbuffers flatbuffers-*
numpy/f2py numpy/distutils numpy/_core/include numpy/_core/lib numpy/random/lib numpy/_core/_simd.*
numpy/_core/*_tests.* numpy/_pyinstaller
numba/cuda numba/pycc numba/np/ufunc/tbbpool* numba/np/ufunc/omppool*
PIL/_imagingft* PIL/_imagingtk* PIL/_imagingcms* pillow.libs/libharfbuzz* pillow.libs/libfreetype*
pandas/plotting/_matplotlib pandas/io/formats/templates pandas/_libs/sas.* pandas/conftest.py
"""
#: Anywhere in them.
FOLDERS = ("tests", "__pycache__", "include")
SUFFIXES = (".pyi", ".pyx", ".pxd", ".pxi", ".h", ".hpp", ".c", ".cpp", ".a", ".la", ".exe", ".whl")
#: Libraries that every Linux with glibc has, and one that most have: without libcrypto hashes are slower, and no more.
SYSTEM = (
    "libcrypto.so",
    "ld-linux",
    "libc.so",
    "libm.so",
    "libdl.so",
    "libpthread.so",
    "librt.so",
    "libutil.so",
    "libresolv.so",
)


def prune_stdlib(folder: Path, patterns: str) -> None:
    """Leave out of a copy of the standard library what ``patterns`` name."""
    _remove(folder, patterns)
    _remove_kinds(folder)


def prune_packages(site: Path, patterns: str = PACKAGES) -> None:
    """Leave out of installed packages what ``patterns`` name; nothing that is left asks for a library that went."""
    before = {path.name for path in libraries(site)}
    _remove(site, patterns)
    _remove_kinds(site)
    gone = before - {path.name for path in libraries(site)}
    for path in libraries(site):
        content = path.read_bytes()
        if gone & set(elf.needed(content)):
            path.write_bytes(elf.without_needed(content, gone))


def trim_libraries(folder: Path) -> None:
    """Cut off what only linkers and debuggers read."""
    for path in libraries(folder):
        path.write_bytes(elf.trimmed(path.read_bytes()))


def libraries(folder: Path) -> Iterator[Path]:
    """Programs and libraries below ``folder``, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as stream:
                if elf.is_elf(stream.read(6)):
                    yield path


def _remove(folder: Path, patterns: str) -> None:
    for pattern in patterns.split():
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _remove_kinds(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in SUFFIXES:
            path.unlink()
