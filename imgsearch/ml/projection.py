"""``CosineProjection``: a centred PCA that keeps vectors comparable by cosine."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import Estimator, Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.lake.batches import gather
from imgsearch.lake.shared import share
from imgsearch.ml.saved import SavedModel
from imgsearch.ml.stage import HasVectorType, Stage
from imgsearch.projections.moments import Moments, merge_moments, moments_of_batches
from imgsearch.projections.projecting import project_udf
from imgsearch.projections.projection import DEFAULT_WHITENING, Projection, fit, projection_of
from imgsearch.projections.spaces import projection_frame
from imgsearch.retrieval.columns import vector_column_of
from imgsearch.retrieval.frames import vector_expression, vector_faults


class ProjectionParams(Stage, HasVectorType):
    """Parameters of the estimator and of its model."""

    k: Param[int] = Param(Params._dummy(), "k", "number of components.", typeConverter=TypeConverters.toInt)
    whitening: Param[float] = Param(
        Params._dummy(), "whitening", "0 (none) to 1 (full): power of the components' deviations.",
        typeConverter=TypeConverters.toFloat,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(
            inputCol="embedding", outputCol="vector", k=256, whitening=DEFAULT_WHITENING, vectorType="vector"
        )

    def vectors(self, dataset: DataFrame) -> Column:
        """The input column as packed rows or lists. Raises ``UserError``."""
        name = self.getOrDefault(self.inputCol)
        return vector_expression(*vector_column_of(dataset.dtypes, type(self).__name__, name, "inputCol"))


class CosineProjection(
    Estimator["CosineProjectionModel"], ProjectionParams, DefaultParamsReadable["CosineProjection"],
    DefaultParamsWritable,
):  # fmt: skip
    """Fits the ``k`` leading principal components of ``inputCol``, scaled to unit length first.

    ``inputCol`` ("embedding"): ``array<float>``, ``array<double>``, MLlib's vector, or packed float32 of unit length;
    null rows are left out. ``k`` (256) is cut to what the rows can give: their width, and one less than their number.
    ``whitening`` (0): see ``compress --whitening``. MLlib's ``PCA`` does not subtract the mean and does not keep unit
    length; this does both. One pass over the data; the driver holds a matrix of width x width.
    """

    def __init__(self, **params: Any) -> None:
        """``params``: inputCol, outputCol, k, whitening, vectorType."""
        super().__init__()
        self.setParams(**params)

    def _fit(self, dataset: DataFrame) -> CosineProjectionModel:
        k, whitening = self.getOrDefault(self.k), self.getOrDefault(self.whitening)
        if k < 1:
            raise self.refuse(f"k {k}: must be at least 1")
        if not 0 <= whitening <= 1:
            raise self.refuse(f"whitening {whitening}: must be within 0..1")
        rows = dataset.select(self.vectors(dataset).alias("vector")).where(F.col("vector").isNotNull()).persist()
        try:  # it is read three times, and embeddings are expensive
            dim = vector_faults(rows, type(self).__name__)
            moments = Moments.from_bytes(gather(rows, moments_of_batches, merge_moments) or b"")
        finally:
            rows.unpersist()
        try:
            projection = fit(moments, min(k, dim), "", whitening)
        except ValueError as e:
            raise self.refuse(str(e)) from e
        return self._copyValues(CosineProjectionModel(projection))


class CosineProjectionModel(Model, ProjectionParams, SavedModel):
    """Adds ``outputCol``: ``unit((inputCol - mean) · components' · scale)``, ``n_components`` numbers of unit length.

    Null where the input is null, and where nothing of a row is left after the mean is taken away.
    """

    def __init__(self, projection: Projection) -> None:
        super().__init__()
        self.projection = projection

    @property
    def explainedVariance(self) -> NDArray[np.float32]:  # noqa: N802
        """(n_components,) share of the variance that each component explains."""
        return self.projection.explained_variance_ratio

    def _transform(self, dataset: DataFrame) -> DataFrame:
        project = project_udf(share(dataset.sparkSession, self.projection))
        return dataset.withColumn(self.getOrDefault(self.outputCol), self.typed(project(self.vectors(dataset))))

    def frame(self) -> DataFrame:
        """The projection as one row."""
        return projection_frame(SparkSession.active(), self.projection).coalesce(1)

    @classmethod
    def of_frame(cls, frame: DataFrame) -> Self:
        """The model of a projection."""
        row = frame.first()
        assert row is not None
        return cls(projection_of(row.asDict()))
