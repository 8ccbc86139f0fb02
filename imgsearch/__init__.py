"""Reverse image search and clustering for image collections in a data lake.

``from imgsearch import search`` is the join that the job ``search`` runs: DataFrame in, DataFrame out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["search"]

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
