"""Local files, on any machine that has them mounted: walked, asked for their status, read.

Nothing here needs Spark: the driver walks a page at a time, the workers read. A path that cannot be used is a row with
a reason, and whatever is no regular file is never opened.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from imgsearch.errors import ImageError
from imgsearch.places import GLOB

#: One row a file. ``reason`` and ``detail`` where it cannot be used, whatever its bytes are.
LISTING = pa.schema(
    [
        ("path", pa.string()),
        ("n_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", tz="UTC")),
        ("etag", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
UNREADABLE, NOT_A_FILE, OUTSIDE, BAD_NAME, UNLISTED = "unreadable", "not_a_file", "outside", "bad_name", "unlisted"
TOO_LARGE, OUT_OF_MEMORY = "too_large", "out_of_memory"
PAGE_ROWS = 100_000
YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # 0001 to 9999, what a timestamp can hold
#: Where the kernel answers instead of a disk.
PSEUDO = re.compile(r"/(proc|sys)(/|$)")
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Row(NamedTuple):
    """A file as the table lists it. ``modified_at``: microseconds since 1970."""

    path: str
    n_bytes: int | None = None
    modified_at: int | None = None
    reason: str | None = None
    detail: str | None = None


class Tops(NamedTuple):
    """Where a walk begins: ``places``, and ``root``, the folder that paths are told from."""

    places: Sequence[str]
    root: str


def find_tops(where: str) -> Tops | None:
    """The folder or file at ``where`` (absolute), or the matches of a glob; ``None`` where there is nothing.

    The driver holds a glob's own matches; what is in a folder is walked and never held.
    """
    if os.path.lexists(where):
        return Tops([where], where if os.path.isdir(where) else os.path.dirname(where))
    if not GLOB.search(where):
        return None
    matches = sorted(set(glob.iglob(where, recursive=True, include_hidden=True)))
    return Tops(without_nested(matches), GLOB.split(where)[0].rsplit("/", 1)[0] or "/")


def without_nested(places: Sequence[str]) -> list[str]:
    """Places without those that lie in a folder among them (``**`` matches a folder and what is in it).

    >>> without_nested(["/a", "/a/b.jpg", "/ab"])
    ['/a', '/ab']
    """
    every = {place.rstrip("/") for place in places}
    return [place for place in sorted(every) if not any(parent in every for parent in _parents(place))]


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def pages(rows: Iterator[Row], n_rows: int) -> Iterator[pa.Table]:
    """Rows as tables of ``LISTING``, at most ``n_rows`` each."""
    while page := list(islice(rows, n_rows)):
        path, n_bytes, modified_at, reason, detail = zip(*page, strict=True)
        columns = [path, n_bytes, pa.array(modified_at, pa.int64()), [None] * len(page), reason, detail]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, LISTING, strict=True)]
        yield pa.table(arrays, schema=LISTING)


def walk(tops: Tops, *, follow_links: bool = False) -> Iterator[Row]:
    """Every file at or under ``tops``.

    A link to a file is a row of its own. A link to a folder is followed where the walk would not come by the folder
    itself. A link that leads out of ``root`` is refused (``outside``) unless ``follow_links``; then such a folder is
    entered once. A folder that cannot be listed is a row (``unlisted``), and so is a name that is no UTF-8.
    """
    inside = os.path.realpath(tops.root)
    walked = {os.path.realpath(place) for place in tops.places if os.path.isdir(place)}
    entered: set[tuple[int, int]] = set()
    folders: list[str] = []
    for top in tops.places:
        if os.path.isdir(top):
            folders.append(top)
        else:
            yield file_row(top, inside, follow_links=follow_links)
        while folders:
            yield from _folder(folders.pop(), folders, inside, walked, entered, follow_links)


def _folder(
    folder: str, folders: list[str], inside: str, walked: set[str], entered: set[tuple[int, int]], follow_links: bool
) -> Iterator[Row]:
    """Rows of one folder's files; its folders are added to ``folders``."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    target = os.path.realpath(entry.path)
                    if any(place in walked for place in (target, *_parents(target))):
                        continue
                    if not follow_links and not _within(target, inside):
                        yield _refusal(entry.path, OUTSIDE, "a link out of the input; --follow-links enters it")
                    elif _first_visit(target, entered):
                        folders.append(entry.path)
                else:
                    yield file_row(entry.path, inside, follow_links=follow_links)
    except OSError as e:
        yield _refusal(folder, UNLISTED, f"the folder cannot be listed: {e.strerror or type(e).__name__}")


def _first_visit(folder: str, entered: set[tuple[int, int]]) -> bool:
    status = os.stat(folder)
    key = (status.st_dev, status.st_ino)
    first = key not in entered
    entered.add(key)
    return first


def file_row(path: str, inside: str | None = None, *, follow_links: bool = True) -> Row:
    """The row of one path, which is looked at and not opened. ``inside``: where links may lead."""
    try:
        if "\0" in path:
            return Row(path.replace("\0", "\\0"), reason=BAD_NAME, detail="the name holds a zero byte")
        if not _is_utf8(path):
            return _refusal(path, BAD_NAME, "the name is no UTF-8; rename the file")
        linked = os.path.islink(path)
        if linked and not follow_links and inside is not None and not _within(os.path.realpath(path), inside):
            return _refusal(path, OUTSIDE, "a link out of the input; --follow-links reads it")
        status = os.stat(path)
        refusal = not_a_file(status) or (pseudo_file(path) if linked or PSEUDO.match(path) else None)
        reason, detail = (NOT_A_FILE, refusal) if refusal else (None, None)
        return Row(path, status.st_size, micros(status), reason, detail)
    except FileNotFoundError as e:
        gone = "a link to nothing" if os.path.islink(path) else e.strerror
        return _refusal(path, UNREADABLE, gone or "there is no such file")
    except OSError as e:
        return _refusal(path, UNREADABLE, e.strerror or type(e).__name__)


def content_of(path: str, content: bytes | None, max_bytes: int | None = None) -> bytes:
    """``content`` where it came along, else the file's bytes. Raises as ``read_local``."""
    return content if content is not None else read_local(path, max_bytes)


def own_contents(batch: pa.RecordBatch, max_bytes: int | None = None) -> Iterator[tuple[str, bytes]]:
    """(image_id, path, content or null) rows → (image_id, bytes) of each file that is that image still: its bytes have
    the sha-256 ``image_id``. A row whose file cannot be read, or has changed, is left out."""
    for image_id, path, content in zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True):
        with contextlib.suppress(ImageError):
            data = content_of(path, content, max_bytes)
            if hashlib.sha256(data).hexdigest() == image_id:
                yield image_id, data


def read_local(path: str, max_bytes: int | None = None) -> bytes:
    """A local file's bytes. Raises ``ImageError``: unreadable, not_a_file, too_large, out_of_memory.

    Whatever is no regular file is not opened, and a file above ``max_bytes`` is not read (``None``: no limit).
    """
    name = re.sub(r"^file:(//(?=/))?", "", path)
    if scheme := re.match(r"([A-Za-z][\w+.-]*):/", name):
        raise ImageError(UNREADABLE, f"{scheme[1]}: the file is gone, or the filesystem did not answer")
    try:
        status = os.stat(name)
        refusal = not_a_file(status) or pseudo_file(name)
        if refusal:
            raise ImageError(NOT_A_FILE, refusal)
        refuse_large(status.st_size, max_bytes)
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb", buffering=0) as file:
            if refusal := not_a_file(os.fstat(file.fileno())):  # it was changed for something else meanwhile
                raise ImageError(NOT_A_FILE, refusal)
            return _read(file.fileno(), status.st_size, max_bytes)
    except MemoryError:
        raise ImageError(OUT_OF_MEMORY, "the file does not fit into the worker's memory") from None
    except (OSError, ValueError) as e:
        raise ImageError(UNREADABLE, getattr(e, "strerror", None) or type(e).__name__) from e


def _read(handle: int, size: int, max_bytes: int | None) -> bytes:
    """All bytes of an open file of about ``size`` bytes; a file that grows is read to its end, or to the limit."""
    parts, n = [], 0
    while part := os.read(handle, max(size + 1 - n, 1 << 16)):
        parts.append(part)
        n += len(part)
        refuse_large(n, max_bytes)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def refuse_large(n_bytes: int, max_bytes: int | None) -> None:
    """Raises ``ImageError('too_large')`` above the limit."""
    if max_bytes is not None and n_bytes > max_bytes:
        raise ImageError(TOO_LARGE, f"{n_bytes:,} bytes; --max-bytes is {max_bytes:,}")


def not_a_file(status: os.stat_result) -> str | None:
    """What it is, where it is no regular file."""
    if stat.S_ISREG(status.st_mode):
        return None
    return next((kind for test, kind in KINDS if test(status.st_mode)), "no regular file")


def pseudo_file(path: str) -> str | None:
    """``/proc`` and ``/sys``: what is read there is about this machine, and no picture."""
    return "a file that the kernel makes" if PSEUDO.match(os.path.realpath(path)) else None


def micros(status: os.stat_result) -> int | None:
    """The modification time in microseconds since 1970; ``None`` outside the years 1 to 9999."""
    value = status.st_mtime_ns // 1000
    return value if YEARS[0] <= value <= YEARS[1] else None


def printable(path: str) -> str:
    r"""A path as text that any table can hold: bytes that are no UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refusal(path: str, reason: str, detail: str) -> Row:
    name = path
    if not _is_utf8(path):
        name = printable(path)
        while os.path.lexists(name):  # another file has this very name
            name += "~"
    return Row(name, reason=reason, detail=detail)


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
