"""``ImageEncoder``: image files in, embeddings out."""

from __future__ import annotations

from typing import Any

from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.encoders.encoder import DEFAULT, Encoder, resolve
from imgsearch.encoders.udf import broadcast_graph, embed_udf
from imgsearch.images.decode import DecodeLimits
from imgsearch.lake.identifiers import quoted_part
from imgsearch.lake.session import is_connect
from imgsearch.ml.stage import HasVectorType, Stage


class ImageEncoder(Transformer, Stage, HasVectorType, DefaultParamsReadable["ImageEncoder"], DefaultParamsWritable):
    """Adds ``outputCol``, the embedding of each image by a CNN whose last layer is removed: unit length.

    ``inputCol`` ("path"): paths that every worker can open (local or mounted), as strings, or the files' bytes, as
    binary (``spark.read.format("binaryFile")`` brings them from any filesystem). ``encoder``, ``pooling`` and
    ``precision`` are those of the job ``embed``. ``outputCol`` is "embedding", its type ``vectorType`` ("vector").

    An image that cannot be used is no failed job: its embedding is null and ``errorCol`` ("error") says why.
    """

    encoder: Param[str] = Param(
        Params._dummy(), "encoder", "network, as `embed --encoder` names it.", typeConverter=TypeConverters.toString
    )
    pooling: Param[str] = Param(Params._dummy(), "pooling", "avg, gem or max.", typeConverter=TypeConverters.toString)
    precision: Param[str] = Param(
        Params._dummy(), "precision", "float32, bf16 or int8.", typeConverter=TypeConverters.toString
    )
    errorCol: Param[str] = Param(  # noqa: N815
        Params._dummy(), "errorCol", "column that says why an image has no embedding; null where it has one.",
        typeConverter=TypeConverters.toString,
    )  # fmt: skip

    def __init__(self, **params: Any) -> None:
        """``params``: inputCol, outputCol, errorCol, encoder, pooling, precision, vectorType."""
        super().__init__()
        self._setDefault(
            inputCol="path", outputCol="embedding", errorCol="error", encoder=DEFAULT, pooling="avg",
            precision="float32", vectorType="vector",
        )  # fmt: skip
        self.setParams(**params)

    def resolved(self) -> Encoder:
        """The encoder as a value: ``encoder_id``, ``dim``, preprocessing. Raises ``UserError``."""
        value = self.getOrDefault
        return resolve(value(self.encoder), pooling=value(self.pooling), precision=value(self.precision))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output, error = (self.getOrDefault(p) for p in (self.inputCol, self.outputCol, self.errorCol))
        kind = self._kind(dataset, name)
        spark = dataset.sparkSession
        if is_connect(spark):
            raise self.refuse(
                "Spark Connect cannot broadcast the network; encode in a classic session and save the embeddings"
            )
        encoder = self.resolved()
        n_threads = int(spark.conf.get("spark.task.cpus", "1") or 1)
        udf = embed_udf(encoder, broadcast_graph(spark, encoder), DecodeLimits(), n_threads)
        value = F.col(quoted_part(name))
        no_content = F.lit(None).cast("binary")
        arguments = (F.coalesce(value, F.lit("")), no_content) if kind == "string" else (F.lit(""), value)
        why = F.when(value.isNull(), "null: there is no image").otherwise(
            F.concat_ws(": ", "_embedded.reason", "_embedded.detail")
        )
        encoded = dataset.withColumn("_embedded", udf(*arguments))
        is_bad = F.col("_embedded.reason").isNotNull()
        return encoded.withColumns({output: self.typed(F.col("_embedded.embedding")), error: F.when(is_bad, why)}).drop(
            "_embedded"
        )

    def _kind(self, dataset: DataFrame, name: str) -> str:
        """``string`` (paths) or ``binary`` (contents). Raises ``UserError``."""
        kinds = {column.lower(): kind for column, kind in dataset.dtypes}
        kind = kinds.get(name.lower())
        if kind is None:
            raise self.refuse(f"there is no column '{name}' (there are {', '.join(dataset.columns)}); set inputCol")
        if kind not in ("string", "binary"):
            raise self.refuse(f"the column '{name}' is {kind}; give paths (string) or the files' bytes (binary)")
        return kind
