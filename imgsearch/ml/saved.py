"""Saving and loading of a fitted model: its parameters under ``metadata``, one frame as Parquet under ``data``."""

from __future__ import annotations

from typing import Self, TypeVar

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import DataFrame

Saved = TypeVar("Saved", bound="SavedModel")


class SavedModel(MLReadable["SavedModel"], MLWritable):
    """A model that one frame holds. ``model.write().overwrite().save(path)``; ``Model.load(path)``."""

    def frame(self) -> DataFrame:
        """What is saved beside the parameters."""
        raise NotImplementedError

    @classmethod
    def of_frame(cls, frame: DataFrame) -> Self:
        """The model that ``frame`` holds, its parameters at their defaults. Raises ``UserError``."""
        raise NotImplementedError

    def write(self) -> MLWriter:
        """A writer: ``model.write().overwrite().save(path)``."""
        return FrameWriter(self)

    @classmethod
    def read(cls) -> FrameReader[Self]:
        """A reader; ``load`` uses it."""
        return FrameReader(cls)


class FrameWriter(MLWriter):
    """Writes a ``SavedModel``."""

    def __init__(self, model: SavedModel) -> None:
        super().__init__()
        self.model = model

    def saveImpl(self, path: str) -> None:  # noqa: N802 (pyspark.ml's name)
        """Write the parameters and the frame."""
        DefaultParamsWriter.saveMetadata(self.model, path, self.sparkSession)  # type: ignore[arg-type]
        self.model.frame().write.parquet(f"{path}/data")


class FrameReader(MLReader[Saved]):
    """Reads what ``FrameWriter`` wrote."""

    def __init__(self, kind: type[Saved]) -> None:
        super().__init__()
        self.kind = kind

    def load(self, path: str) -> Saved:
        """The model at ``path``. Raises ``UserError`` where its frame cannot be used."""
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        model = self.kind.of_frame(self.sparkSession.read.parquet(f"{path}/data"))
        model._resetUid(metadata["uid"])  # type: ignore[attr-defined]
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model
