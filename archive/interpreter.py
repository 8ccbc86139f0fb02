"""The interpreter that runs this, as a folder that can be moved: program, standard library, libraries."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from archive import prune

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
NAME = f"python{VERSION}"


def copy_interpreter(env: Path, without: str) -> Path:
    """Make ``env/bin`` and ``env/lib/pythonX.Y``; returns the site-packages. Python finds its own library beside it.

    ``without``: patterns of what is left out of the standard library.
    """
    library = env / "lib" / NAME
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=_left_out)
    extensions = Path(sysconfig.get_config_var("DESTSHARED"))
    if not (library / "lib-dynload").is_dir() and extensions.is_dir():
        shutil.copytree(extensions, library / "lib-dynload")
    prune.prune_stdlib(library, without)
    (env / "bin").mkdir()
    shutil.copy2(os.path.realpath(sys.executable), env / "bin" / NAME)
    script = Path(__file__).with_name("python.sh").read_text()
    for word, value in (("SYSTEM", platform.system()), ("MACHINE", platform.machine()), ("PYTHON", NAME)):
        script = script.replace(f"@{word}@", value)
    for name in ("python", "python3"):
        (env / "bin" / name).write_text(script)
        (env / "bin" / name).chmod(0o755)
    site = library / "site-packages"
    site.mkdir()
    return site


def copy_libraries(env: Path) -> None:
    """Bring into ``env/lib`` what the programs and libraries of ``env`` need and not every Linux has."""
    own = {path.name for path in prune.libraries(env)}
    for name, place in sorted(_resolved(prune.libraries(env)).items()):
        if name not in own and not name.startswith(prune.SYSTEM):
            shutil.copy2(os.path.realpath(place), env / "lib" / name)


def _resolved(paths: Iterable[Path]) -> dict[str, str]:
    """Where this machine's loader finds each needed library that is not part of a package."""
    places: dict[str, str] = {}
    for path in paths:
        said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        places |= dict(re.findall(r"^\s*(\S+) => (/\S+)", said, re.MULTILINE))
    return {name: place for name, place in places.items() if "site-packages" not in place}


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("site-packages", "dist-packages", "test", "__pycache__")}
