"""A small JPEG that stands for an image on a page."""

from __future__ import annotations

import base64
import hashlib
import io
import re

from PIL import Image

from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits, decode, read_header
from imgsearch.images.thumbnail import MAX_BYTES, THUMBNAIL_SIZE, as_jpeg, fitted, within_bytes

SHA256 = re.compile(r"[0-9a-f]{64}")


def thumbnail(content: bytes, size: int = THUMBNAIL_SIZE, limits: DecodeLimits | None = None) -> bytes | None:
    """``content`` (an image file) → a JPEG whose longer side is at most ``size`` pixels.

    It is decoded as the network decodes it, by the same rules and within the same ``limits`` (the default ones if not
    given): what was refused there has no thumbnail. All metadata is dropped (a photo's GPS position does not leave the
    lake in a report). Images are never enlarged. Of an animation the first frame is taken.

    Returns ``None`` where the content cannot be decoded. Raises ``ValueError`` when ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"thumbnail size {size}: must be at least 1 pixel")
    try:
        header = read_header(content, limits)
        pixels = decode(content, fitted(header.width, header.height, size)[::-1], limits)
    except ImageError:
        return None
    return as_jpeg(Image.fromarray(pixels))


def thumbnail_of(
    image_id: str, content: bytes, limits: DecodeLimits | None = None, size: int = THUMBNAIL_SIZE
) -> bytes | None:
    """The thumbnail of an image, if ``content`` is that image still: its sha-256 is ``image_id``.

    An ``image_id`` that is no sha-256 (of a query that came as a vector) says nothing about the bytes.
    """
    if SHA256.fullmatch(image_id) and hashlib.sha256(content).hexdigest() != image_id:
        return None
    return thumbnail(content, size, limits)


def data_uri(jpeg: bytes) -> str:
    """A thumbnail as ``data:image/jpeg;base64,…`` of at most 32,766 characters; made smaller where it is longer.

    Raises ``OSError`` where ``jpeg`` is none.
    """
    if len(jpeg) > MAX_BYTES:
        jpeg = within_bytes(Image.open(io.BytesIO(jpeg)), jpeg)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
