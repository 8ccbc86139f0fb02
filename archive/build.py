"""``make package``: one archive with all that an executor needs, and the wheel for drivers.

``--for driver`` makes the larger one, for a driver that runs on the cluster itself: the packages of the group `driver`.
``--with verify`` adds OpenCV to either, which only `dedup --augment` and `search --verify` need.
A worker then needs Java and nothing else: the archive holds the interpreter, the packages of the group `executor` as
uv.lock has them, imgsearch itself, and its machine code for this kind of CPU. The same checkout on the same machine
gives the same bytes. A worker's machine needs the same architecture and a glibc at least as new as this one's.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from archive import interpreter, prune
from imgsearch import __version__
from imgsearch.lake.archive import MANIFEST, Manifest, archive_name
from imgsearch.lake.package import code_id, package_files

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
PLACE = ROOT / ".cache" / "archive"  # the same every time: numba writes names of files into its machine code
LEVEL = 12  # libdeflate's best
WHEN = 315_532_800  # 1980-01-01, the time of every file in the archive


def build(env: Path, uv: str, group: str, more: Sequence[str] = ()) -> Manifest:
    """Make the environment in the folder ``env``. ``group``: whose packages, ``executor`` or ``driver``; ``more``: of
    which groups besides."""
    code, files = code_id(), package_files()
    site = interpreter.copy_interpreter(env, prune.STDLIB + (prune.ONLY_DRIVERS if group == "executor" else ""))
    install(site, uv, group, *more)
    prune.prune_packages(site, prune.PACKAGES if group == "executor" else "")
    for name, content in files:
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    interpreter.copy_libraries(env)
    prune.trim_libraries(env)
    python = str(env / "bin" / "python")
    run(python, str(HERE / "bytecode.py"), str(env), group)
    run(python, str(HERE / "kernels.py"))
    manifest = Manifest(
        version=__version__, code=code, python=platform.python_version(), system=platform.system(),
        machine=platform.machine(), glibc=platform.libc_ver()[1],
    )  # fmt: skip
    (env / MANIFEST).write_text(json.dumps(manifest._asdict(), indent=1) + "\n")
    return manifest


def install(site: Path, uv: str, *chosen: str) -> None:
    """The locked packages of some groups of pyproject.toml, in the folder ``site``."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder, "locked.txt")
        groups = ["--frozen", "--no-emit-project", *(word for name in chosen for word in ("--only-group", name))]
        spark = ["--no-emit-package", "pyspark", "--no-emit-package", "py4j"]  # the cluster's own
        run(uv, "export", "--quiet", "--project", str(ROOT), *groups, *spark, "--output-file", str(locked))
        run(
            uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(site), "--no-deps",
            "--require-hashes", "--link-mode", "copy", "-r", str(locked),
        )  # fmt: skip


def run(*command: str) -> None:
    """A step in a process of its own, in an environment that is always the same."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA_", "LD_"))}
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "UV_PYTHON_DOWNLOADS": "never"}
    subprocess.run(command, check=True, env=kept | fixed, cwd=ROOT)


def pack(env: Path, out: Path) -> None:
    """``env`` as a tar.gz of sorted names, fixed times and nobody's files; the manifest comes first."""
    import deflate  # libdeflate: 4 % smaller than zlib's best, in the same format

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(env.rglob("*"), key=lambda path: (path.name != MANIFEST, str(path))):
            entry = archive.gettarinfo(path, str(path.relative_to(env)))
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = WHEN, 0, 0, "", ""
            entry.mode = 0o755 if path.is_dir() or entry.mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(path.read_bytes()) if entry.isreg() else None)
    part = out.with_name(out.name + ".part")
    part.write_bytes(deflate.gzip_compress(packed.getbuffer(), LEVEL))
    part.replace(out)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """``PLACE`` is one for all builds of a checkout."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with open(PLACE.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Build, pack, print both sizes."""
    parser = argparse.ArgumentParser(prog="make package", description=__doc__.splitlines()[0])
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--for", dest="group", choices=("executor", "driver"), default="executor")
    parser.add_argument("--with", dest="more", action="append", choices=("verify",), default=[])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    given = parser.parse_args(argv)
    given.output.mkdir(parents=True, exist_ok=True)
    out = given.output / archive_name(__version__, given.group)
    uv = os.path.abspath(shutil.which(given.uv) or given.uv)
    with one_at_a_time(), tempfile.TemporaryDirectory() as tools:
        shutil.rmtree(PLACE, ignore_errors=True)
        install(Path(tools), uv, "package")
        sys.path.insert(0, tools)
        manifest = build(PLACE, uv, given.group, given.more)
        pack(PLACE, out)
        unpacked = sum(path.lstat().st_size for path in PLACE.rglob("*") if path.is_file())
        shutil.rmtree(PLACE)
    print(f"{out}: {unpacked / 1e6:.0f} MB unpacked, {out.stat().st_size / 1e6:.0f} MB packed; {manifest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
