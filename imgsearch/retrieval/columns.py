"""The id and the vector column of a frame that imgsearch did not write: which types the join takes, and what is wrong.

Nothing here needs Spark: a schema comes as ``DataFrame.dtypes``, rows as Arrow arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgsearch.errors import UserError, did_you_mean
from imgsearch.vectors import is_list, rows_of

INTEGERS = ("tinyint", "smallint", "int", "bigint")
VECTOR_TYPES = ("array<float>", "array<double>", "vector", "binary")  # "vector" is MLlib's VectorUDT
#: How far a packed row may be from length one. Unit vectors in float32 are within 1e-6.
UNIT_TOLERANCE = 1e-4
MAX_NAMES = 20  # of a frame, in a message
PROBLEMS = {
    "no_id": "rows without an id; give each row one",
    "null": "null vectors; leave them out",
    "width": "vectors of another dimension; give vectors of one encoder and projection",
    "not_finite": "vectors with NaN, infinite or too large values; leave them out",
    "zero": "zero vectors, which have no direction; leave them out",
    "length": "packed vectors that are not of unit length; give unit float32 (float16 and int8 of a warehouse: "
    "Warehouse(…).vectors()), or array<float>, which is normalised",
}


class Names(NamedTuple):
    """What a frame calls its id and its vector, and the parameters that said so."""

    id: str
    vector: str
    id_parameter: str = "id_column"
    vector_parameter: str = "vector_column"


class Columns(NamedTuple):
    """A frame's id and vector column: names as the frame has them, types as Spark writes them."""

    id: str
    id_type: str
    vector: str
    vector_type: str

    @property
    def has_integer_ids(self) -> bool:
        """Whether ids are integers; else they are strings."""
        return self.id_type in INTEGERS


class Fault(NamedTuple):
    """``n`` rows with one of ``PROBLEMS``; ``example`` names the first."""

    problem: str
    n: int
    example: str


class Width(NamedTuple):
    """What a vector's value should measure: ``n`` "bytes" or "numbers"."""

    n: int
    name: str


def columns_of(dtypes: Sequence[tuple[str, str]], what: str, names: Names) -> Columns:
    """The two columns of a frame. ``dtypes``: names and types; ``what``: whose they are ("search: the gallery").

    Raises ``UserError`` where one is missing, there twice, or of a type that the join does not take.
    """
    name, id_type = _column(dtypes, what, names.id, names.id_parameter)
    if id_type != "string" and id_type not in INTEGERS:
        raise UserError(
            f"{what}: the id column '{name}' is {id_type}; give a string or an integer, e.g. cast it to string"
        )
    return Columns(name, id_type, *vector_column_of(dtypes, what, names.vector, names.vector_parameter))


def vector_column_of(
    dtypes: Sequence[tuple[str, str]], what: str, requested: str, parameter: str = "vector_column"
) -> tuple[str, str]:
    """Name and type of the vector column. Raises ``UserError`` as ``columns_of``."""
    vector, vector_type = _column(dtypes, what, requested, parameter)
    if vector_type not in VECTOR_TYPES:
        raise UserError(
            f"{what}: the vector column '{vector}' is {vector_type}; "
            "give array<float>, array<double>, MLlib's vector, or packed float32 (binary)"
        )
    return vector, vector_type


def _column(dtypes: Sequence[tuple[str, str]], what: str, requested: str, parameter: str) -> tuple[str, str]:
    names = [name for name, _ in dtypes]
    matches = [entry for entry in dtypes if entry[0].lower() == requested.lower()]  # as Spark resolves names
    if len(matches) > 1:
        raise UserError(f"{what}: has {len(matches)} columns named '{requested}'; rename or drop all but one")
    if not matches:
        some = ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
        raise UserError(
            f"{what}: has no column '{requested}'{did_you_mean(requested, names)}; it has {some or 'none'}; "
            f"name the right one with {parameter}=…"
        )
    return matches[0]


def refuse_bounds(what: str, top_k: int, min_score: float | None) -> None:
    """Raises ``UserError`` for a ``top_k`` or a ``min_score`` that cannot be."""
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise UserError(f"{what}: top_k {top_k!r}: must be a whole number, at least 1")
    if min_score is not None and not -1 <= min_score <= 1:
        raise UserError(f"{what}: min_score {min_score!r}: must be within -1..1, a cosine")


def dim_of(vector: bytes | bytearray | Sequence[float], what: str) -> int:
    """How many numbers a vector has. Raises ``UserError`` for bytes that are not float32."""
    if not isinstance(vector, bytes | bytearray):
        return len(vector)
    if len(vector) % 4:
        raise UserError(
            f"{what}: has packed vectors of {len(vector):,} bytes, which is no float32 (4 bytes a number); "
            "give unit float32, or array<float>, which is normalised"
        )
    return len(vector) // 4


def faults_in(ids: pa.Array | None, vectors: pa.Array, dim: int) -> list[Fault]:
    """What is wrong with rows, one entry a problem, in the order of ``PROBLEMS``.

    ``vectors``: packed float32, or lists of numbers, which may have any length but none of zero. Without ``ids`` no
    row is named.
    """
    packed = not is_list(vectors.type)
    widths = pc.binary_length(vectors) if packed else pc.list_value_length(vectors)
    is_null = _flags(vectors.is_null())
    expected = Width(dim * 4, "bytes") if packed else Width(dim, "numbers")
    wide = _flags(pc.not_equal(widths, expected.n))
    no_id = np.zeros(len(vectors), bool) if ids is None else _flags(ids.is_null())
    masks = {"no_id": no_id, "null": is_null, "width": wide}
    usable = np.flatnonzero(~is_null & ~wide)
    rows = rows_of(vectors.take(pa.array(usable)), dim)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    finite = np.isfinite(norms)
    masks["not_finite"] = _at(usable[~finite], len(vectors))
    masks["zero"] = _at(usable[norms == 0], len(vectors))
    if packed:
        masks["length"] = _at(usable[finite & (norms > 0) & (np.abs(norms - 1) > UNIT_TOLERANCE)], len(vectors))
    measured = np.full(len(vectors), np.nan)
    measured[usable] = norms
    return [
        Fault(problem, int(mask.sum()), _example(problem, int(np.argmax(mask)), ids, widths, measured, expected))
        for problem, mask in masks.items()
        if mask.any()
    ]


def merged(faults: Iterable[Fault]) -> list[Fault]:
    """Faults of several parts of a frame as one entry a problem, in the order of ``PROBLEMS``."""
    by_problem: dict[str, list[Fault]] = {}
    for fault in faults:
        by_problem.setdefault(fault.problem, []).append(fault)
    return [
        Fault(problem, sum(f.n for f in some), min(f.example for f in some))
        for problem in PROBLEMS
        if (some := by_problem.get(problem))
    ]


def refuse_faults(what: str, faults: Iterable[Fault]) -> None:
    """Raises ``UserError`` for the first of ``faults``, if there is one."""
    for fault in merged(faults):
        example = f" ({fault.example})" if fault.example else ""
        problem, _, next_step = PROBLEMS[fault.problem].partition("; ")
        raise UserError(f"{what}: has {fault.n:,} {problem}{example}; {next_step}")


def refuse_duplicates(what: str, n_ids: int, example: object) -> None:
    """Raises ``UserError`` where ``n_ids`` ids stand in several rows; ``example`` is one of them."""
    if n_ids:
        raise UserError(f"{what}: has {n_ids:,} ids more than once (e.g. {example!r}); give each row an id of its own")


def refuse_repeated(what: str, ids: pa.Array | pa.ChunkedArray) -> None:
    """Raises ``UserError`` where an id stands in ``ids`` twice."""
    counts = ids.value_counts()
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    refuse_duplicates(what, len(repeated), repeated[0].as_py()["values"] if len(repeated) else None)


def _example(problem: str, row: int, ids: pa.Array | None, widths: pa.Array, norms: np.ndarray, expected: Width) -> str:
    if problem == "no_id":
        return ""
    name = "" if ids is None else f"id {ids[row].as_py()!r}"
    detail = ""
    if problem == "width":
        detail = f"{widths[row].as_py():,} {expected.name}, not {expected.n:,}"
    if problem == "length":
        detail = f"length {norms[row]:.4g}"
    text = ": ".join(filter(None, [name, detail]))
    return text and f"e.g. {text}"


def _flags(column: pa.Array) -> np.ndarray:
    return np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), bool)


def _at(rows: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask
