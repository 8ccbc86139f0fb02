"""What goes wrong, in one line each: the value at fault and the next step.

``UserError`` is a mistake of the user's (exit code 2); everything else that escapes a job is a fault (exit code 1).
The constructors below write the sentences, so that the same mistake reads the same wherever it is met.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

LAUNCHER = "./spark-submit.sh"


class UserError(Exception):
    """A mistake in what the user gave: one line that names the value and the next step. Exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    @classmethod
    def option(cls, name: str, value: object, problem: str) -> UserError:
        """``--top-k 0: must be at least 1``."""
        flag = "--" + name.replace("_", "-")
        return cls(f"{flag} {value}: {problem}")

    @classmethod
    def unknown(cls, what: str, value: str, choices: Iterable[str]) -> UserError:
        """An unknown name, with the nearest known one."""
        choices = sorted(choices)
        return cls(f"unknown {what} {value!r}{did_you_mean(value, choices)}; known: {', '.join(choices) or 'none'}")

    @classmethod
    def no_table(cls, table: str, where: str, job: str) -> UserError:
        """A table that an earlier job should have written."""
        return cls(f"there is no table '{table}' in {where}; run `{LAUNCHER} {job} --warehouse {where}` first")

    @classmethod
    def lacks_columns(cls, table: str, missing: Sequence[str], has: Sequence[str], job: str) -> UserError:
        """A table without columns that it should have."""
        return cls(f"table '{table}' lacks {list(missing)} (it has {list(has)}); run `{LAUNCHER} {job}` to rebuild it")


class ImageError(Exception):
    """An image that cannot be used. ``reason`` is a short word for grouping, ``detail`` the sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """`` (did you mean 'gallery'?)`` or nothing.

    >>> did_you_mean("galery", ["gallery", "queries"])
    " (did you mean 'gallery'?)"
    >>> did_you_mean("zzz", ["gallery"])
    ''
    """
    close = difflib.get_close_matches(value, list(choices), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
