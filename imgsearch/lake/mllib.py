"""MLlib's own models, made from arrays, so that MLlib users can load what imgsearch fitted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pyspark.ml.clustering import KMeansModel
from pyspark.ml.feature import PCAModel
from pyspark.sql import SparkSession


def pca_model(spark: SparkSession, components: Sequence[Sequence[float]], explained: Sequence[float]) -> PCAModel:
    """A ``PCAModel`` of ``components`` (n_components x dim rows). Like all of MLlib's it does not subtract a mean."""
    jvm: Any = spark._jvm
    n_components, dim = len(components), len(components[0])
    # a component is a column of MLlib's column-major matrix, so rows laid end to end are right as they are
    matrix = jvm.org.apache.spark.ml.linalg.DenseMatrix(
        dim, n_components, _doubles(spark, [x for row in components for x in row])
    )
    variance = jvm.org.apache.spark.ml.linalg.DenseVector(_doubles(spark, list(explained)))
    java = jvm.org.apache.spark.ml.feature.PCAModel("pca_imgsearch", matrix, variance)
    java.set(java.getParam("k"), n_components)
    return PCAModel(java)


def kmeans_model(spark: SparkSession, centroids: Sequence[Sequence[float]], cost: float, n_rounds: int) -> KMeansModel:
    """A ``KMeansModel`` (cosine) of ``centroids`` (n_clusters x dim)."""
    jvm: Any = spark._jvm
    gateway: Any = spark.sparkContext._gateway
    vectors = gateway.new_array(jvm.org.apache.spark.mllib.linalg.Vector, len(centroids))
    for i, row in enumerate(centroids):
        vectors[i] = jvm.org.apache.spark.mllib.linalg.DenseVector(_doubles(spark, list(row)))
    old = jvm.org.apache.spark.mllib.clustering.KMeansModel(vectors, "cosine", float(cost), int(n_rounds))
    java = jvm.org.apache.spark.ml.clustering.KMeansModel("kmeans_imgsearch", old)
    if len(centroids) > 1:  # MLlib's own parameter refuses 1; the model itself does not
        java.set(java.getParam("k"), len(centroids))
    java.set(java.getParam("distanceMeasure"), "cosine")
    return KMeansModel(java)


def jvm_heap(spark: SparkSession) -> int:
    """Bytes that the driver's JVM may grow to."""
    jvm: Any = spark._jvm
    return int(jvm.java.lang.Runtime.getRuntime().maxMemory())


def _doubles(spark: SparkSession, values: Sequence[float]) -> Any:
    """A Java ``double[]``, sent as one buffer: element by element is a call each."""
    jvm: Any = spark._jvm
    raw = struct.pack(f">{len(values)}d", *values)
    buffer = jvm.java.nio.ByteBuffer.wrap(raw).asDoubleBuffer()
    array = spark.sparkContext._gateway.new_array(jvm.double, len(values))  # type: ignore[union-attr]
    # py4j hands arrays by reference: the copy happens inside the JVM
    buffer.get(array)
    return array
