"""Settings from a TOML file and the command line: one frozen settings object per job.

An option on the command line wins over ``--config FILE``, which wins over ``conf/default.toml``, which wins over the
defaults of the settings object. Unknown sections, keys and options are refused with the nearest name that there is.
"""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
import types
import typing
from collections.abc import Collection, Sequence
from dataclasses import field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from imgsearch.errors import LAUNCHER, UserError, did_you_mean

DEFAULT_FILE = files("imgsearch").joinpath("conf", "default.toml")


def option(
    help: str, default: Any = dataclasses.MISSING, metavar: str | None = None, *, positional: bool = False
) -> Any:
    """A field of a settings object that is also an option of its job; ``positional``: a word without a flag."""
    return field(default=default, kw_only=True, metadata={"help": help, "metavar": metavar, "positional": positional})


def at_least(name: str, value: float | None, least: float) -> None:
    """Refuse ``value`` below ``least``. ``None`` passes."""
    if value is not None and not value >= least:
        raise UserError.option(name, value, f"must be at least {least}")


def within(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse ``value`` outside ``low``..``high``. ``None`` passes."""
    if value is not None and not low <= value <= high:
        raise UserError.option(name, value, f"must be between {low} and {high}")


Config = TypeVar("Config")


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are one line with a next step."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UserError``."""
        raise UserError(f"{message}; `{self.prog} --help` lists the options")


def parse(
    job: str,
    cls: type[Config],
    argv: Sequence[str],
    default_file: Traversable = DEFAULT_FILE,
    *,
    sections: Collection[str],
) -> Config:
    """Settings of ``job`` from its defaults, the TOML files and ``argv``. ``sections``: what a TOML file may hold.

    Raises ``UserError`` for anything unknown, missing or out of range; ``SystemExit(0)`` after ``--help``.
    """
    hints = typing.get_type_hints(cls)
    options = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    parser = _job_parser(job, getattr(cls, "about", None), options, hints)
    arguments, rest = parser.parse_known_args(list(argv))
    if rest:
        near = did_you_mean(rest[0].split("=")[0], [_flag(name) for name in options])
        parser.error(f"{job} has no option {rest[0]!r}{near}")
    values: dict[str, Any] = {}
    if default_file.is_file():
        values |= _section(default_file, job, options, sections)
    if arguments.config:
        values |= _section(Path(arguments.config), job, options, sections)
    values |= {k: v for k, v in vars(arguments).items() if k in options and v is not None}
    for name, f in options.items():
        if name not in values and f.default is dataclasses.MISSING:
            parser.error(f"{job} needs {_flag(name)}: {f.metadata['help']}")
    return cls(**{name: _checked(name, value, hints[name]) for name, value in values.items()})


def _job_parser(
    job: str, about: str | None, options: dict[str, dataclasses.Field[Any]], hints: dict[str, Any]
) -> Parser:
    parser = Parser(
        prog=f"{LAUNCHER} {job}",
        description=about,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110),
    )
    for name, f in options.items():
        _add_option(parser, name, hints[name], f)
    parser.add_argument("--config", metavar="FILE.toml", help=f"settings in a file, under [{job}]")
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_option(parser: argparse.ArgumentParser, name: str, hint: Any, f: dataclasses.Field[Any]) -> None:
    flag = _flag(name)
    text = f.metadata["help"].replace("%", "%%")
    if f.default is dataclasses.MISSING:
        text += " (required)"
    elif f.default not in (None, False):
        text += f" (default {f.default})"
    if f.metadata["positional"]:
        parser.add_argument(name, nargs="?", metavar=f.metadata["metavar"], help=text)
        return
    if hint is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        return
    kind = _plain(hint)
    if typing.get_origin(kind) is Literal:
        parser.add_argument(flag, choices=typing.get_args(kind), help=text)
    else:
        metavar = f.metadata["metavar"] or {int: "N", float: "X"}.get(kind, name.upper())
        parser.add_argument(flag, type=kind, metavar=metavar, help=text)


def _plain(hint: Any) -> Any:
    """``int | None`` → ``int``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def _section(path: Traversable, job: str, options: dict[str, Any], sections: Collection[str]) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"--config {path}: {e.strerror}; give a TOML file with a section [{job}]") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"--config {path}: not TOML ({e}); see conf/default.toml for an example") from e
    for section in document:
        if section not in sections:
            raise UserError(f"{path} has unknown section [{section}]{did_you_mean(section, sections)}")
        if not isinstance(document[section], dict):
            raise UserError(f"{path}: '{section}' is a value; write a section [{section}] with settings under it")
    values: dict[str, Any] = document.get(job, {})
    for key in values:
        if key not in options:
            raise UserError(f"{path}: [{job}] has unknown key '{key}'{did_you_mean(key, options)}")
    return values


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A value from a TOML file has its type checked; argparse has done so for options."""
    kind = _plain(hint)
    if value is None:
        return None
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise UserError.option(name, value, f"must be one of {', '.join(map(str, typing.get_args(kind)))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError.option(name, value, f"must be of type {kind.__name__}")
    return value
