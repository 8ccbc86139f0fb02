r"""How else a file's name may be written: the one rule for comparing names in people's files with ingested paths.

A name is tried as it stands, then cleaned (``file:``, ``~``, ``\``, ``./``), in either Unicode form, percent-decoded,
then by its last parts (an absolute path of another machine ends like ours), and at last without regard to case and to
spaces around it. Only a name as it stands may mean several images (the first path counts); a form has to mean one.
"""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import unquote

#: Begins forms that are compared without regard to case and outer spaces.
FOLDED = "\0"
MAX_PARTS = 12  # of a path, from its end, that are looked for


def name_forms(name: str) -> list[str]:
    r"""Every form of ``name``, the likeliest first, none twice.

    >>> name_forms("C:\\in\\a.JPG")[:4]
    ['C:\\in\\a.JPG', 'C:/in/a.JPG', 'in/a.JPG', 'a.JPG']
    >>> name_forms("file:///d/a%20b.jpg")[1:3]
    ['/d/a%20b.jpg', '/d/a b.jpg']
    """
    plain = _cleaned(name)
    whole = [plain, unquote(plain), _cleaned(name.replace("\\", "/"))]
    whole += [unquote(form) for form in whole]
    forms = [name, *_spelt(whole)]
    for form in whole:
        parts = form.split("/")
        forms += _spelt("/".join(parts[at:]) for at in range(max(1, len(parts) - MAX_PARTS), len(parts)))
    forms = list(dict.fromkeys(form for form in forms if form))
    return forms + list(dict.fromkeys(folded(form) for form in forms))


def folded(name: str) -> str:
    """``name`` as ``name_forms`` ends with it; Spark's ``lower`` and ``trim`` give the same."""
    return FOLDED + name.strip().lower()


def _spelt(names: object) -> list[str]:
    """Each name as it is, composed and decomposed (Unicode's NFC and NFD)."""
    return [spelt for name in names for spelt in (name, *(unicodedata.normalize(f, name) for f in ("NFC", "NFD")))]  # type: ignore[attr-defined]


def _cleaned(name: str) -> str:
    """Without ``file:`` and ``./``, with the home folder for ``~``, without ``..`` and doubled slashes."""
    path = re.sub(r"^file:(//(?=/))?", "", name)
    if path.startswith("~/"):
        path = os.path.expanduser(path)
    if "://" in path:
        return path
    return os.path.normpath(path) if path else path
