"""Pictures in an object store, read without Spark: by Arrow's own filesystems, or by fsspec where it has one."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from imgsearch.errors import ImageError
from imgsearch.lake.local_files import UNREADABLE, refuse_large
from imgsearch.places import SCHEME

#: Hadoop's names of stores, as Arrow calls them.
SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
RETRY_SECONDS = 60.0


class RemoteFiles:
    """Files by URI. A store that cannot be reached is said once, and not asked again for a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: dict[str, Callable[[str], Any]] = {}
        self._refused: dict[str, tuple[float, str]] = {}

    def read(self, uri: str, max_bytes: int | None = None) -> bytes:
        """A file's bytes. Raises ``ImageError``: unreadable, too_large."""
        scheme, _, rest = uri.partition("://")
        bucket, _, path = rest.partition("/")
        store = f"{SCHEMES.get(scheme, scheme)}://{bucket}"
        try:
            with self._store(store)(path) as file:
                content = file.read() if max_bytes is None else file.read(max_bytes + 1)
        except ImageError:
            raise
        except FileNotFoundError:
            raise ImageError(UNREADABLE, "there is no such file") from None
        except Exception as e:
            raise self._refusal(store, e) from None
        refuse_large(len(content), max_bytes)
        return bytes(content)

    def _store(self, store: str) -> Callable[[str], Any]:
        """What opens a path in a store. Raises ``ImageError`` where it was out of reach a moment ago."""
        with self._lock:
            when, what = self._refused.get(store, (-RETRY_SECONDS, ""))
            if time.monotonic() - when < RETRY_SECONDS:
                raise ImageError(UNREADABLE, what)
            if store not in self._stores:
                self._stores[store] = opener(store)
            return self._stores[store]

    def _refusal(self, store: str, error: Exception) -> ImageError:
        what = f"{store} cannot be read here ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
        with self._lock:
            if store not in self._refused:
                note = "small pictures come from the table 'thumbnails' where it has them"
                print(f"review: {what}; {note}", file=sys.stderr, flush=True)
            self._refused[store] = (time.monotonic(), what)
        return ImageError(UNREADABLE, what)


def is_remote(path: str) -> bool:
    """Whether a path is a URI of another filesystem than the local one."""
    return bool(SCHEME.match(path))


def opener(store: str) -> Callable[[str], Any]:
    """``scheme://bucket`` → a function from a path in it to an open file. Raises whatever the filesystem raises."""
    from pyarrow import fs

    try:
        arrow, base = fs.FileSystem.from_uri(store)
    except Exception as e:  # Arrow was built without it, or does not know the scheme
        try:
            import fsspec

            other = fsspec.filesystem(store.partition(":")[0])
        except (ImportError, ValueError):
            raise e from None
        bucket = store.partition("://")[2]
        return lambda path: other.open(f"{bucket}/{path}", "rb")
    return lambda path: arrow.open_input_stream(f"{base.rstrip('/')}/{path}", compression=None)
