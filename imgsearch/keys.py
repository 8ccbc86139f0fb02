"""Image ids as numbers that sort as the ids do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Hex digits that a key is made of, the last one without its lowest bit: 63 bits, so that a key is never negative.
#: Two of n random ids share one in about n² / 2⁶⁴ of cases: 5e-8 at a million, 0.05 at a billion.
KEY_DIGITS = 16


def order_keys(image_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """(n,) int64: the first 63 bits of each id. Ascending keys are ascending ids.

    ``image_ids``: sha-256 in hex, lower case. Raises ``ValueError`` for an id that is no such thing.

    >>> order_keys(pa.array(["000000000000000a" + "0" * 48, "f" * 64])).tolist()
    [5, 9223372036854775807]
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
    powers = np.int64(1) << (4 * np.arange(KEY_DIGITS - 2, -1, -1, dtype=np.int64) + 3)
    return values[:, :-1] @ powers + (values[:, -1] >> 1)
