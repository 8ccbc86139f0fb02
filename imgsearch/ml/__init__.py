"""What fits a ``pyspark.ml.Pipeline``: from images to embeddings to vectors to neighbours, in frames of one's own.

    from pyspark.ml import Pipeline
    from imgsearch.ml import CosineNeighbors, CosineProjection, ImageEncoder

    encode = ImageEncoder(inputCol="path", outputCol="embedding")
    project = CosineProjection(inputCol="embedding", outputCol="vector", k=256)
    model = Pipeline(stages=[encode, project]).fit(images)
    neighbors = CosineNeighbors(idCol="path", k=10).fit(model.transform(images).where("vector IS NOT NULL"))
    matches = neighbors.kneighbors(model.transform(queries))

No warehouse is needed, and nothing is written but by ``save``.
"""

from imgsearch.ml.encoder import ImageEncoder
from imgsearch.ml.neighbors import CosineNeighbors, CosineNeighborsModel
from imgsearch.ml.projection import CosineProjection, CosineProjectionModel

__all__ = ["CosineNeighbors", "CosineNeighborsModel", "CosineProjection", "CosineProjectionModel", "ImageEncoder"]
