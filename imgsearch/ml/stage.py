"""What the stages share: parameters by keyword, and the type in which a vector column is written."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.sql import Column
from pyspark.sql import functions as F

from imgsearch.errors import UserError, did_you_mean
from imgsearch.vectors import unpack

VECTOR_TYPES = ("vector", "array", "binary")


class Stage(HasInputCol, HasOutputCol):
    """A stage whose parameters are keyword arguments. A slip is a ``UserError`` in one line."""

    def setParams(self, **params: Any) -> Self:  # noqa: N802 (pyspark.ml's names)
        """Set several parameters. Raises ``UserError`` for an unknown name or a value of another type."""
        names = [param.name for param in self.params]
        for name, value in params.items():
            if name not in names:
                raise self.refuse(f"no parameter {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}")
            try:
                self.set(self.getParam(name), value)
            except TypeError as e:
                raise self.refuse(f"{name} {value!r}: {e}") from e
        return self

    def setInputCol(self, value: str) -> Self:  # noqa: N802
        """Set ``inputCol``."""
        return self.setParams(inputCol=value)

    def setOutputCol(self, value: str) -> Self:  # noqa: N802
        """Set ``outputCol``."""
        return self.setParams(outputCol=value)

    def refuse(self, problem: str) -> UserError:
        """A mistake in one line that begins with the stage's name."""
        return UserError(f"{type(self).__name__}: {problem}")


class HasVectorType(Params):
    """Mixin for param vectorType: the type of the vectors in outputCol."""

    vectorType: Param[str] = Param(  # noqa: N815
        Params._dummy(),
        "vectorType",
        "type of the vectors in outputCol: vector (MLlib's, for its stages), array (array<float>) or binary (packed "
        "float32, the fastest and what a table should hold).",
        typeConverter=TypeConverters.toString,
    )

    def typed(self, packed: Column) -> Column:
        """Packed float32 vectors in the type asked for; nulls stay null. Raises ``UserError`` for an unknown type."""
        kind = self.getOrDefault(self.vectorType)
        if kind not in VECTOR_TYPES:
            raise UserError.unknown("vectorType", kind, VECTOR_TYPES)
        if kind == "binary":
            return packed
        if kind == "array":
            return F.arrow_udf(lists_of_float, returnType="array<float>")(packed)  # type: ignore[call-overload]
        lists = F.arrow_udf(lists_of_double, returnType="array<double>")(packed)  # type: ignore[call-overload]
        return F.when(lists.isNotNull(), array_to_vector(lists))


def lists_of_float(packed: pa.Array) -> pa.Array:
    """Packed float32 rows, all of one length or null → lists of float32."""
    return _lists(packed, pa.float32())


def lists_of_double(packed: pa.Array) -> pa.Array:
    """Packed float32 rows, all of one length or null → lists of float64."""
    return _lists(packed, pa.float64())


def _lists(packed: pa.Array, kind: pa.DataType) -> pa.Array:
    is_valid = np.asarray(packed.is_valid(), bool)
    rows = unpack(packed.drop_null())
    lengths = np.where(is_valid, rows.shape[1], 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = pa.array(rows.reshape(-1)).cast(kind)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~is_valid))
