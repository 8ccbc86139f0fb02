"""Search without Spark: the exact engine on the resident matrix, and the encoder in ONNX Runtime for an upload."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.encoders.embedding import embed_files
from imgsearch.encoders.encoder import Encoder, same_encoder
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.runtime import Runtime, load_runtime
from imgsearch.errors import ImageError
from imgsearch.images.boxes import Box, cut
from imgsearch.images.decode import DecodeLimits
from imgsearch.projections.projection import vanished
from imgsearch.review.collection import Collection
from imgsearch.topk.topk import RunningTopK

UPLOAD_LIMITS = DecodeLimits(max_pixels=100_000_000, seconds=10.0)
MAX_UPLOAD_BYTES = 32_000_000


class Found(NamedTuple):
    """Rows of the collection, best first, with their cosines."""

    rows: list[int]
    scores: list[float]


class Finder:
    """Answers "what is like this?" for an image of the collection, and for a picture that is given."""

    def __init__(self, collection: Collection, n_threads: int = 1) -> None:
        self._collection, self._n_threads = collection, n_threads
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._runtime: Runtime | None = None

    def warm_up(self) -> None:
        """Load the network and the compiled engine. Raises ``UserError`` where the encoder cannot be had here."""
        self.encoder()
        if len(self._collection.image_ids):
            self.like_row(0, 1)

    def encoder(self) -> tuple[Encoder, Runtime]:
        """The encoder that made the warehouse's embeddings, and its network."""
        with self._lock:
            if self._encoder is None or self._runtime is None:
                self._encoder = same_encoder(*self._collection.encoder)
                self._runtime = load_runtime(graph_of(self._encoder), self._encoder, self._n_threads)
            return self._encoder, self._runtime

    def like_row(self, row: int, n: int) -> Found:
        """The ``n`` images most similar to an image of the collection, without itself."""
        return self.like_vector(self._collection.vectors[row], n, exclude=row)

    def like_vector(self, vector: NDArray[np.float32], n: int, exclude: int = -1) -> Found:
        """The ``n`` images most similar to a vector: (dim,) float32, unit length. Exact."""
        vectors = self._collection.vectors
        best = RunningTopK(vector[None], n)
        best.update(vectors, np.arange(len(vectors)), exclude=np.array([exclude]))
        ids, scores = best.result()
        filled = ids[0] >= 0
        return Found(ids[0][filled].tolist(), scores[0][filled].tolist())

    def vector_of(self, content: bytes, box: Box | None = None) -> NDArray[np.float32]:
        """A picture's vector, (dim,) float32. Raises ``ImageError`` where it cannot be used."""
        encoder, runtime = self.encoder()
        content = content if box is None else cut(content, box, UPLOAD_LIMITS)
        embedded = embed_files([lambda: content], runtime, encoder.preprocessing, encoder.dim, UPLOAD_LIMITS)
        if embedded.errors[0] is not None:
            raise embedded.errors[0]
        vectors = self._collection.projection.apply(embedded.embeddings)
        if vanished(vectors)[0]:
            raise ImageError("no_direction", "nothing of the embedding is left after the mean is taken away")
        return np.asarray(vectors[0], np.float32)
