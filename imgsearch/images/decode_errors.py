"""Whatever a decoder raises, as ``ImageError`` with a reason and a sentence that quotes nothing of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from imgsearch.errors import ImageError
from imgsearch.images.formats import DECODE_ERROR, TOO_MANY_PIXELS, TRUNCATED
from imgsearch.images.jpeg import unread_process
from imgsearch.images.signatures import UNSUPPORTED
from imgsearch.images.truncation import ends_early
from imgsearch.lake.isolation import OUT_OF_MEMORY


@contextmanager
def image_errors(content: bytes | memoryview, format: str) -> Iterator[None]:
    """Whatever Pillow raises, as ``ImageError``."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(OUT_OF_MEMORY, f"the {format} image does not fit into memory") from None
    except Image.DecompressionBombError:
        raise ImageError(TOO_MANY_PIXELS, f"{format}: more pixels than Pillow allows") from None
    except NotImplementedError as error:
        raise ImageError(UNSUPPORTED, f"{format}: {remark(error)}") from None
    except Exception as error:
        reason = _reason(error)
        if format == "JPEG" and (process := unread_process(bytes(content))) is not None:
            raise ImageError(UNSUPPORTED, f"JPEG: {process} coding is not read") from None
        if reason == DECODE_ERROR and ends_early(bytes(content), format):
            reason = TRUNCATED
        raise ImageError(reason, f"{format}: {remark(error)}") from None


def remark(error: Exception) -> str:
    """What a decoder says of a file, cut where it may begin to quote the file's bytes; else the error's type.

    >>> remark(SyntaxError("broken PNG file (chunk b'root:x:0')"))
    'broken PNG file'
    >>> remark(ValueError(b"Token too long found in data: root"))
    'Token too long found in data'
    >>> remark(KeyError("root"))
    'KeyError'
    """
    text = error.args[0] if error.args else ""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    own = isinstance(text, str) and isinstance(error, OSError | ValueError | SyntaxError | EOFError | RuntimeError)
    text = _QUOTES.split(text)[0].strip() if own and not isinstance(error, UnicodeError) else ""
    return text if len(text) > 3 else type(error).__name__


_QUOTES = re.compile(r"""[:(\['"\n]|\bb['"]""")
_SIGNS = (
    (OUT_OF_MEMORY, ("out of memory", "memory error", "cannot allocate")),
    (TRUNCATED, ("truncated", "unexpected end", "not enough", "unexpectedly", "end of file")),
    (UNSUPPORTED, ("unsupported", "not supported", "unknown pixel mode", "unknown compression")),
)


def _reason(error: Exception) -> str:
    text = str(error).lower()
    for reason, signs in _SIGNS:
        if any(sign in text for sign in signs):
            return reason
    return DECODE_ERROR
