"""Pictures of the warehouse's own images: thumbnails that ``embed`` made, larger ones by the network's decoder.

What a browser gets is always a JPEG of ours: no metadata leaves the lake, and no file but an image of the warehouse,
whose bytes are still those that were ingested, is ever sent. Where a file cannot be read, its thumbnail stands in.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.lake.local_files import read_local
from imgsearch.report.thumbnails import thumbnail_of
from imgsearch.review.collection import Collection
from imgsearch.review.remote import RemoteFiles, is_remote
from imgsearch.review.stored import StoredBytes
from imgsearch.tables import CONTENTS, THUMBNAILS

SMALL = "thumb"
SIZES = {SMALL: 224, "large": 512, "picture": 1400}  # pixels, the longer side; 160 where the thumbnail stands in
CACHE_BYTES = 256_000_000
MAX_FILE_BYTES = 1_000_000_000
LIMITS = DecodeLimits(max_pixels=200_000_000, seconds=20.0)


class Pictures:
    """JPEGs of images, the most recent ones in memory."""

    def __init__(self, warehouse: DeltaFolder, collection: Collection, cache_bytes: int = CACHE_BYTES) -> None:
        self._collection, self._cache_bytes = collection, cache_bytes
        ids = collection.image_ids
        self._thumbnails = StoredBytes(warehouse, THUMBNAILS, "thumbnail", ids)
        self._contents = StoredBytes(warehouse, CONTENTS, "content", ids)
        self._remote = RemoteFiles()
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._n_bytes = 0

    def get(self, image_id: str, size: str) -> bytes | None:
        """A JPEG of an image; ``size``: one of ``SIZES``. ``None`` where the image is gone, changed or unknown."""
        row = self._collection.row_of.get(image_id)
        if row is None:
            return None
        with self._lock:
            if (image_id, size) in self._cached:
                self._cached.move_to_end((image_id, size))
                return self._cached[image_id, size]
        picture = self._thumbnails.get(row) if size == SMALL else None
        picture = picture or self._made(image_id, row, SIZES[size])
        if picture is not None:
            self._keep((image_id, size), picture)
        elif size != SMALL:
            picture = self._thumbnails.get(row)  # not kept: the file may be there the next time
        return picture

    def _made(self, image_id: str, row: int, size: int) -> bytes | None:
        try:
            content = self._contents.get(row) or self._read(str(self._collection.images["path"][row]))
        except ImageError:
            return None
        return thumbnail_of(image_id, content, LIMITS, size)

    def _read(self, path: str) -> bytes:
        return self._remote.read(path, MAX_FILE_BYTES) if is_remote(path) else read_local(path, MAX_FILE_BYTES)

    def _keep(self, key: tuple[str, str], picture: bytes) -> None:
        with self._lock:
            if key not in self._cached:
                self._cached[key] = picture
                self._n_bytes += len(picture)
            while self._n_bytes > self._cache_bytes and len(self._cached) > 1:
                self._n_bytes -= len(self._cached.popitem(last=False)[1])
