"""Run by the archive's own Python, in it: every module compiled once, so that no worker has to.

Of other people's packages only the bytecode stays, without docstrings (as `python -OO` leaves them out, but with their
assertions): source and docstrings are a tenth of the archive. NumPy asserts what its docstrings say, so it keeps them;
so does every package of a driver's archive, because Delta and SciPy build on theirs. Our own source stays, for traces
and for numba.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import sys
import warnings
from pathlib import Path

UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: no time of a file is looked at; same source, same bytes


def main(env: Path, group: str) -> None:
    """Compile every ``.py`` below ``env`` that can be. ``group``: ``executor`` or ``driver``."""
    own = next(env.glob("lib/python*/site-packages/imgsearch"))
    for path in sorted(env.rglob("*.py")):
        mine = own in path.parents
        docstrings = mine or group == "driver" or own.with_name("numpy") in path.parents
        content = compiled(path.read_bytes(), str(path.relative_to(env)), docstrings=docstrings)
        if content is not None:
            target = Path(importlib.util.cache_from_source(path)) if mine else path.with_suffix(".pyc")
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
            if not mine:
                path.unlink()


def compiled(source: bytes, name: str, *, docstrings: bool) -> bytes | None:
    """A ``.pyc`` of a module; ``None`` for a template or an example that is no Python of this version."""
    try:
        tree = ast.parse(source, name)
        if not docstrings:
            for node in ast.walk(tree):
                _drop_docstring(node)
        code = compile(tree, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return None
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + marshal.dumps(code)


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if ast.get_docstring(node, clean=False) is not None:
        first = node.body.pop(0)
        if not node.body:
            node.body.append(ast.copy_location(ast.Pass(), first))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), sys.argv[2])
