"""Reverse image search and clustering for image collections in a data lake.

``Warehouse`` runs the jobs from Python. ``search`` is the join that the job ``search`` runs: DataFrame in, DataFrame
out. ``show`` is a grid of thumbnails for a notebook. Importing the package does not import Spark.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from imgsearch.api import Warehouse
    from imgsearch.report.grid import Grid

__all__ = ["Warehouse", "__version__", "search", "show"]

try:
    __version__ = version("imgsearch-spark")
except PackageNotFoundError:  # a zip on an executor
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name == "Warehouse":
        from imgsearch.api import Warehouse

        return Warehouse
    raise AttributeError(f"module 'imgsearch' has no attribute {name!r}")


def search(
    queries: DataFrame,
    gallery: DataFrame,
    top_k: int = 10,
    *,
    id_column: str = "image_id",
    vector_column: str = "vector",
    query_id_column: str | None = None,
    query_vector_column: str | None = None,
    min_score: float | None = None,
    exclude_self: bool = False,
) -> DataFrame:
    """The ``top_k`` most similar gallery rows of each query, exactly, by cosine.

    ``queries``, ``gallery``: frames with an id and a vector. An id is a string or an integer, once in its frame. A
    vector is ``array<float>``, ``array<double>`` or MLlib's vector, which are scaled to unit length; or packed float32
    (binary), as in the table ``vectors``, which must be of unit length: other bytes are refused, not guessed at.
    The columns are called ``image_id`` and ``vector`` unless named; those of ``queries`` as those of ``gallery``.

    ``min_score``: the least cosine of a match. ``exclude_self``: a query does not match the gallery row with its id.

    Returns ``query_id``, ``rank`` (from 1), ``image_id``, ``score``, with ids in their own types. Ties are broken by
    id; long strings that are no sha-256 by a hash of it. The gallery is checked at once, and read again when the
    answer is: save or cache one that is expensive to compute. The driver holds the queries.

    Raises ``imgsearch.errors.UserError``, before any job where the schema shows it, for a column that is missing or of
    another type, and for rows with a null id or vector, a repeated id, a zero or non-finite vector, or another
    dimension.
    """
    from imgsearch.retrieval.columns import Names
    from imgsearch.retrieval.frames import search_frames

    names = Names(id_column, vector_column)
    query_names = Names(query_id_column or id_column, query_vector_column or vector_column)
    return search_frames(queries, gallery, top_k, names, query_names, min_score=min_score, exclude_self=exclude_self)


def show(matches: DataFrame, *, n_queries: int = 10, top_k: int = 10, warehouse: Warehouse | None = None) -> Grid:
    """A grid of thumbnails, as a notebook shows it: one row a query, best match first.

    ``matches``: the frame that ``Warehouse.search`` returns (``query_id``, ``query_path``, ``rank``, ``image_id``,
    ``path``, ``score``). Shown are the first ``n_queries`` by path. Images are read at their paths, and only shown if
    they are still those that were searched; ``warehouse`` is needed where they were ingested from a table with their
    bytes. Raises ``imgsearch.errors.UserError``.
    """
    from imgsearch.report.match_grid import grid_of_frame

    return grid_of_frame(matches, n_queries, top_k, None if warehouse is None else warehouse.store())
