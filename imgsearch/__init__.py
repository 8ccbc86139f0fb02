"""Reverse image search and clustering for image collections in a data lake.

``Warehouse`` runs the jobs from Python. ``search`` is the join that the job ``search`` runs: DataFrame in, DataFrame
out. Importing the package does not import Spark.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from imgsearch.api import Warehouse

__all__ = ["Warehouse", "__version__", "search"]

try:
    __version__ = version("imgsearch-spark")
except PackageNotFoundError:  # a zip on an executor
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name == "Warehouse":
        from imgsearch.api import Warehouse

        return Warehouse
    raise AttributeError(f"module 'imgsearch' has no attribute {name!r}")


__version__ = "0.1.0"


def search(
    queries: DataFrame,
    gallery: DataFrame,
    top_k: int = 10,
    *,
    min_score: float | None = None,
    exclude_self: bool = False,
) -> DataFrame:
    """The ``top_k`` most similar gallery rows of each query, exactly, by cosine.

    ``queries`` and ``gallery``: frames with ``image_id`` (sha-256 hex) and ``vector`` (packed float32, unit length),
    such as rows of the table ``vectors``. Returns ``query_id``, ``rank`` (from 1), ``image_id``, ``score``.
    Raises ``imgsearch.errors.UserError`` where the two cannot be compared.
    """
    from imgsearch.retrieval.matches import find

    return find(queries, gallery, top_k, min_score=min_score, exclude_self=exclude_self)
