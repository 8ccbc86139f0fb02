"""Names of columns and tables as SQL takes them: quoted, whatever is in them."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name of several parts.

    >>> quoted("a.b")
    '`a`.`b`'
    """
    return ".".join(quoted_part(part) for part in name.split("."))


def quoted_part(name: str) -> str:
    """One identifier (or path).

    >>> quoted_part("a`.b")
    '`a``.b`'
    """
    return "`" + name.replace("`", "``") + "`"
