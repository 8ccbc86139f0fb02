"""Image ids as numbers that sort as the ids do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

KEY_DIGITS = (
    15  # hex digits: 60 bits, so that a key is never negative; two of 1e6 random ids share one in 4e-7 of cases
)


def order_keys(image_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """(n,) int64: the first 15 hex digits of each id. Ascending keys are ascending ids.

    ``image_ids``: sha-256 in hex, lower case. Raises ``ValueError`` for an id that is no such thing.

    >>> order_keys(pa.array(["00000000000000a" + "0" * 49, "f" * 64])).tolist()
    [10, 1152921504606846975]
    """
    if isinstance(image_ids, pa.ChunkedArray):
        image_ids = image_ids.combine_chunks()
    n = len(image_ids)
    image_ids = image_ids.cast(pa.binary(64)) if n else pa.array([], pa.binary(64))
    if image_ids.null_count:
        raise ValueError("an image_id is null")
    data = np.frombuffer(image_ids.buffers()[1] or b"", np.uint8)[image_ids.offset * 64 : (image_ids.offset + n) * 64]
    digits = data.reshape(n, 64)[:, :KEY_DIGITS]
    letters = digits >= ord("a")
    values = np.where(letters, digits - (ord("a") - 10), digits - ord("0")).astype(np.int64)
    if ((values < 0) | (values > 15)).any():
        raise ValueError("an image_id is not a sha-256 in lower-case hex")
    powers = np.int64(1) << (4 * np.arange(KEY_DIGITS - 1, -1, -1, dtype=np.int64))
    return values @ powers
