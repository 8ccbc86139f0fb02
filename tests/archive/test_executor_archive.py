"""The archive for executors as a worker meets it: in a strange folder, with nothing of this machine's Python."""

from __future__ import annotations

import json
import marshal
import os
import platform
import subprocess
import tarfile
from pathlib import Path

import pytest
from support.archives import executor_archive

from archive import build, bytecode
from imgsearch.lake.archive import MANIFEST, check_archive, read_manifest

UNPACKED, PACKED = 400e6, 130e6  # bytes, what docs/deployment.md claims
IMPORTS = """
import sys, json
import imgsearch, onnxruntime, numba, pyarrow, pyarrow.compute, pandas, PIL.Image, hashlib, ctypes, threadpoolctl
import imgsearch.images.decode, imgsearch.encoders.embedding, imgsearch.encoders.runtime, imgsearch.topk.topk
import imgsearch.clusters.kmeans, imgsearch.clusters.description, imgsearch.duplicates.pairs, imgsearch.topk.quality
import imgsearch.report.page, imgsearch.report.thumbnails, imgsearch.lake.worker
outside = [m.__file__ for m in sys.modules.values()
           if getattr(m, "__file__", None) and not m.__file__.startswith(sys.prefix) and m.__name__ != "__main__"]
print(json.dumps([sys.prefix, sys.version.split()[0], outside]))
"""
KERNELS = """
import numpy as np
from imgsearch.topk.scan import scan
from imgsearch.topk.topk import RunningTopK
rows = np.eye(40, 32, dtype=np.float32)
running = RunningTopK(rows, 3)
running.update(rows, np.arange(40), np.arange(40), 0.1)
print(sum(scan.stats.cache_hits.values()), sum(scan.stats.cache_misses.values()))
"""


@pytest.fixture(scope="module")
def packed() -> Path:
    return executor_archive()


@pytest.fixture(scope="module")
def env(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strange") / "a folder, é"
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="tar")
    return folder


def run(env: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(env / "bin" / "python"), "-c", code]
    return subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True, timeout=120)


@pytest.mark.cluster
def test_it_runs_where_it_is_unpacked_with_nothing_of_this_machines_python(env: Path) -> None:
    done = run(env, IMPORTS)
    assert done.returncode == 0, done.stderr
    prefix, version, outside = json.loads(done.stdout)
    assert (prefix, version, outside) == (str(env), platform.python_version(), [])


@pytest.mark.cluster
def test_its_libraries_are_its_own(env: Path) -> None:
    """Beside glibc, and libcrypto where there is one, no library of the machine is loaded."""
    code = (
        "import onnxruntime, numba, pyarrow, pandas, PIL.Image, zlib, bz2, lzma; print(open('/proc/self/maps').read())"
    )
    lines = [line for line in run(env, code).stdout.splitlines() if ".so" in line]
    libraries = {Path(line.split(maxsplit=5)[5]) for line in lines}
    family = ("libc.", "libm.", "libdl.", "libpthread.", "librt.", "libutil.", "ld-linux", "libcrypto.", "libresolv.")
    assert len(libraries) > 50
    assert not [path for path in libraries if env not in path.parents and not path.name.startswith(family)]


@pytest.mark.cluster
def test_machine_code_travels_with_it(env: Path) -> None:
    done = run(env, KERNELS)
    assert done.returncode == 0, done.stderr
    hits, misses = map(int, done.stdout.split())
    assert hits >= 1
    assert misses == 0


@pytest.mark.cluster
def test_it_holds_what_a_worker_imports_and_stays_small(packed: Path, env: Path) -> None:
    names = {path.name for path in next(env.glob("lib/python*/site-packages")).iterdir()}
    assert not names & {"torch", "torchvision", "nvidia", "faiss", "scipy", "sklearn", "pytest", "mypy", "pyspark"}
    assert sum(path.lstat().st_size for path in env.rglob("*") if path.is_file()) <= UNPACKED
    assert packed.stat().st_size <= PACKED
    assert check_archive(packed) == read_manifest(packed)


@pytest.mark.cluster
def test_another_machine_is_refused_in_one_line(env: Path, tmp_path: Path) -> None:
    uname = tmp_path / "uname"
    uname.write_text("#!/bin/sh\necho Linux sparc64\n")
    uname.chmod(0o755)
    done = run(env, "print(1)", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"imgsearch: this archive is for Linux {platform.machine()}, and this machine is Linux sparc64: "
        "make one on such a machine (make package)"
    ]


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "lib").mkdir(parents=True)
        (folder / "lib" / "b.txt").write_text("b")
        (folder / MANIFEST).write_text("{}")
        (folder / "lib" / "a").symlink_to("b.txt")
        os.utime(folder / MANIFEST, (len(name), len(name) * 10**6 * (1 + (name == "two"))))
        build.pack(folder, tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        assert archive.getnames()[0] == MANIFEST
        assert {entry.mtime for entry in archive} == {build.WHEN}


def test_bytecode_loses_docstrings_and_keeps_assertions() -> None:
    source = b'"""D0."""\nclass A:\n    """D1."""\ndef f(x):\n    """D2."""\n    assert x, "no x"\n    return __doc__\n'
    content = bytecode.compiled(source, "m.py", docstrings=False)
    assert content is not None
    names: dict[str, object] = {}
    exec(marshal.loads(content[16:]), names)
    assert (names.get("__doc__"), names["A"].__doc__, names["f"].__doc__) == (None, None, None)
    with pytest.raises(AssertionError, match="no x"):
        names["f"](0)  # type: ignore[operator]
    assert b"D1." in (bytecode.compiled(source, "m.py", docstrings=True) or b"")
    assert bytecode.compiled(b"print 'Python 2'", "m.py", docstrings=False) is None


def test_machine_code_says_nothing_of_the_builders_memory() -> None:
    from archive.kernels import without_addresses

    content = b"\x80global(score: <function score at 0x7f3ffd618e00>) at 0xab, at 0x1>"
    assert without_addresses(content) == b"\x80global(score: <function score at 0x000000000000>) at 0xab, at 0x0>"
