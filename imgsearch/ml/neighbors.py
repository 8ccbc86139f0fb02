"""``CosineNeighbors``: the exact nearest neighbours of queries in a frame of vectors."""

from __future__ import annotations

from typing import Any, Self

from pyspark.ml import Estimator, Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.lake.identifiers import quoted_part
from imgsearch.ml.saved import SavedModel
from imgsearch.ml.stage import Stage
from imgsearch.retrieval.columns import Names, refuse_bounds
from imgsearch.retrieval.frames import Gallery, open_gallery, search_gallery


class NeighborsParams(Stage):
    """Parameters of the estimator and of its model."""

    k: Param[int] = Param(Params._dummy(), "k", "neighbours per query.", typeConverter=TypeConverters.toInt)
    idCol: Param[str] = Param(  # noqa: N815
        Params._dummy(), "idCol", "column of ids, strings or integers.", typeConverter=TypeConverters.toString
    )
    excludeSelf: Param[bool] = Param(  # noqa: N815
        Params._dummy(), "excludeSelf", "whether a query leaves out the row with its own id.",
        typeConverter=TypeConverters.toBoolean,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(inputCol="vector", idCol="image_id", outputCol="neighbors", k=10, excludeSelf=False)

    def names(self) -> Names:
        """The id and the vector column."""
        return Names(self.getOrDefault(self.idCol), self.getOrDefault(self.inputCol), "idCol", "inputCol")


class CosineNeighbors(
    Estimator["CosineNeighborsModel"], NeighborsParams, DefaultParamsReadable["CosineNeighbors"],
    DefaultParamsWritable,
):  # fmt: skip
    """``CosineNeighbors(k=10, idCol="id", inputCol="features").fit(gallery).kneighbors(queries)``.

    Any string or integer id, once in its frame; any vector type (see ``imgsearch.search``). ``fit`` checks the gallery
    and keeps the frame: nothing is trained and nothing copied. It is read again by each ``kneighbors``; cache or save
    what is expensive to compute.
    """

    def __init__(self, **params: Any) -> None:
        """``params``: inputCol, idCol, outputCol, k, excludeSelf."""
        super().__init__()
        self.setParams(**params)

    def _fit(self, dataset: DataFrame) -> CosineNeighborsModel:
        refuse_bounds(type(self).__name__, self.getOrDefault(self.k), None)
        return self._copyValues(CosineNeighborsModel(open_gallery(dataset, self.names(), "CosineNeighbors")))


class CosineNeighborsModel(Model, NeighborsParams, SavedModel):
    """A gallery that was checked. ``kneighbors`` gives rows, ``transform`` a column of arrays."""

    def __init__(self, gallery: Gallery) -> None:
        super().__init__()
        self.gallery = gallery

    def kneighbors(self, queries: DataFrame, k: int | None = None) -> DataFrame:
        """``query_id``, ``rank`` (from 1), ``image_id``, ``score`` (cosine) of the ``k`` nearest gallery rows.

        ``queries`` have ``idCol`` and ``inputCol`` too; the driver holds their vectors. Ids keep their types.
        Raises ``UserError`` for queries that cannot be compared.
        """
        top_k = self.getOrDefault(self.k) if k is None else k
        refuse_bounds("kneighbors", top_k, None)
        return search_gallery(
            self.gallery, queries, top_k, self.names(), exclude_self=self.getOrDefault(self.excludeSelf),
            what="kneighbors",
        )  # fmt: skip

    def _transform(self, dataset: DataFrame) -> DataFrame:
        """Adds ``outputCol``: an array of (image_id, score), best first; null for a row without a vector."""
        names = self.names()
        queries = dataset.where(F.col(quoted_part(names.vector)).isNotNull())
        matches = self.kneighbors(queries).groupBy("query_id")
        ranked = matches.agg(F.sort_array(F.collect_list(F.struct("rank", "image_id", "score"))).alias("ranked"))
        best = F.transform(
            "ranked", lambda row: F.struct(row["image_id"].alias("image_id"), row["score"].alias("score"))
        )
        column = ranked.select(F.col("query_id").alias("_query_id"), best.alias(self.getOrDefault(self.outputCol)))
        on = F.col(quoted_part(names.id)) == F.col("_query_id")
        return dataset.join(column, on=on, how="left").drop("_query_id")

    def frame(self) -> DataFrame:
        """Ids and vectors of the gallery."""
        return self.gallery.rows.select("image_id", "vector")

    @classmethod
    def of_frame(cls, frame: DataFrame) -> Self:
        """The model of a gallery; it is checked again. Raises ``UserError``."""
        return cls(open_gallery(frame, Names("image_id", "vector"), cls.__name__))
