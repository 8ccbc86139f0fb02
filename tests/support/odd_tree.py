"""A tree of files with every odd name: what a filesystem holds must be used, or be in quarantine with its reason.

``PORTABLE`` names can be on a local disk, on HDFS and in an object store, so the same tree on each must give the same
``images`` and ``quarantine``, path prefix apart. ``write_local`` adds what only a local disk has.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

Draw = Callable[..., Path]

#: Images by their path in the tree. No colon (HDFS), nothing that ends in a slash (an object store).
PORTABLE = (
    "plain.png", "_MG_1234.JPG", ".x.jpg", "._copy.png", "_SUCCESS", "100%.png", "a%20b.png", "a+b.png", "#1;2.png",
    "q?.png", "two  spaces.png", " leads.png", "trails .png", "[1].png", "{x}.png", "star*.png", "comma,quote'\".png",
    "emoji 😀.png", "ä composed.png", "a\u0308 decomposed.png", "日本語.png", "new\nline.png", "tab\t.png",
    "tilde~$.png", "amp&=.png", "x.crc", "no ending",
    "deep er/site=A/in.png", "_hidden/x.png", ".dot/y.png", "a=b/_c=d/z.png", "Ünï/ä/ß.png", "x/x/x/x/x/x/x/x/x/x.png",
)  # fmt: skip
#: What is refused wherever it is, with its reason; contents are made by ``content_of``.
REFUSED = {
    "empty.jpg": "empty", "_empty.png": "empty", "notes.jpg": "not_an_image", ".notes": "not_an_image",
    "cut.png": "truncated", "large.png": "too_large",
}  # fmt: skip
MAX_BYTES = 200_000  # the ``--max-bytes`` that ``large.png`` exceeds


def write_portable(folder: Path, draw: Draw) -> dict[str, str | None]:
    """Writes ``PORTABLE`` and ``REFUSED`` under ``folder``. Returns each path's reason, ``None`` for images."""
    for kind, name in enumerate(PORTABLE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(folder.parent / "drawn.png", kind).read_bytes())
    whole = (folder / PORTABLE[0]).read_bytes()
    (folder / "empty.jpg").touch()
    (folder / "_empty.png").touch()
    (folder / "notes.jpg").write_text("root:x:0:0 and no picture")
    (folder / ".notes").write_text("neither")
    (folder / "cut.png").write_bytes(whole[:40])
    (folder / "large.png").write_bytes(whole + b"\0" * MAX_BYTES)
    (folder.parent / "drawn.png").unlink()
    return dict.fromkeys(PORTABLE) | REFUSED


def write_local(folder: Path, draw: Draw) -> dict[str, str | None]:
    """``write_portable`` and links, pipes, sockets, devices, sparse files, names that are no UTF-8."""
    expected = write_portable(folder, draw)
    outside = draw(folder.parent / "outside" / "secret.png", 900).parent
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "round.png").symlink_to(folder / "round.png")
    (folder / "inside.png").symlink_to(folder / "plain.png")
    (folder / "0 same folder").symlink_to(folder / "deep er")
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "out folder").symlink_to(outside)
    (folder / "passwd.jpg").symlink_to("/etc/passwd")
    (folder / "environ.jpg").symlink_to("/proc/self/environ")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is at most 107 bytes
        server.bind("socket.jpg")
        os.chdir(here)
    with open(folder / "sparse.png", "wb") as file:
        file.truncate(3 << 30)
    (folder / "colon 12:30.png").write_bytes((folder / "plain.png").read_bytes())
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:
        file.write((folder / "plain.png").read_bytes())
    (folder / "caf\\xe9.png").write_bytes((folder / "plain.png").read_bytes())
    return expected | {
        "gone.png": "unreadable", "round.png": "unreadable", "inside.png": None, "out.png": "outside",
        "out folder": "outside", "passwd.jpg": "outside", "environ.jpg": "outside", "zero.jpg": "outside",
        "pipe.jpg": "not_a_file", "socket.jpg": "not_a_file", "sparse.png": "too_large", "colon 12:30.png": None,
        "caf\\xe9.png~": "bad_name", "caf\\xe9.png": None,
    }  # fmt: skip
