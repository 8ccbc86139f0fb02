"""The package as one zip, for executors without the driver's files: ``python -m imgsearch.lake.package OUT.zip``."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def write_package(out: Path) -> Path:
    """Write ``imgsearch/`` as a zip that Python can import from, with fixed times: equal code, equal file."""
    part = out.with_name(f"{out.name}.{os.getpid()}")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(PACKAGE.parent))), path.read_bytes())
    part.replace(out)
    return out


if __name__ == "__main__":
    write_package(Path(sys.argv[1]))
