"""spark-submit's command line, read: which settings its options and files make, before any Spark has started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imgsearch.errors import UserError, did_you_mean

#: Options that stand alone (``--ship`` is the launcher's own); every other one takes the next word as its value.
FLAGS = (
    "--verbose",
    "-v",
    "--supervise",
    "--version",
    "--usage-error",
    "--load-spark-defaults",
    "--help",
    "-h",
    "--ship",
)
#: Options that are a setting by another name.
PROPERTIES = {
    "--master": "spark.master",
    "--remote": "spark.remote",
    "--deploy-mode": "spark.submit.deployMode",
    "--name": "spark.app.name",
    "--jars": "spark.jars",
    "--packages": "spark.jars.packages",
    "--exclude-packages": "spark.jars.excludes",
    "--repositories": "spark.jars.repositories",
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
    "--archives": "spark.archives",
    "--driver-memory": "spark.driver.memory",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-cores": "spark.driver.cores",
    "--executor-memory": "spark.executor.memory",
    "--executor-cores": "spark.executor.cores",
    "--num-executors": "spark.executor.instances",
    "--total-executor-cores": "spark.cores.max",
    "--queue": "spark.yarn.queue",
    "--principal": "spark.kerberos.principal",
    "--keytab": "spark.kerberos.keytab",
}
VALUES = (*PROPERTIES, "--conf", "-c", "--properties-file", "--proxy-user", "--class", "--kill", "--status")


class Submission(NamedTuple):
    """A command line. ``options``: spark-submit's, as (name, value), value ``None`` for a flag; ``rest``: job and its
    own options."""

    options: tuple[tuple[str, str | None], ...]
    rest: tuple[str, ...]

    def has(self, *names: str) -> bool:
        """Whether one of the options is there."""
        return any(name in names for name, _ in self.options)

    def words(self, without: Sequence[str] = ()) -> list[str]:
        """The options as a command line again."""
        return [word for o in self.options if o[0] not in without for word in o if word is not None]

    def properties(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The settings that spark-submit would make of this, by its own order: files, ``--conf``, named options.

        Raises ``UserError`` for a ``--properties-file`` that cannot be read and a ``--conf`` without ``=``.
        """
        files = [value for name, value in self.options if name == "--properties-file"]
        settings: dict[str, str] = {}
        if not files or self.has("--load-spark-defaults"):
            settings |= defaults_of(environ)
        if files:
            settings |= _properties_file(str(files[-1]))
        for name, value in self.options:
            if name in ("--conf", "-c"):
                key, equals, setting = str(value).partition("=")
                if not equals:
                    raise UserError(f"--conf {value}: must be KEY=VALUE")
                settings[key.strip()] = setting
        settings |= {PROPERTIES[name]: str(value) for name, value in self.options if name in PROPERTIES}
        if "spark.master" not in settings and environ.get("MASTER"):
            settings["spark.master"] = environ["MASTER"]
        return settings


def parse_submission(argv: Sequence[str], *, known_only: bool = True) -> Submission:
    """Split ``[spark-submit options] JOB [job options]``. Raises ``UserError`` for what spark-submit does not know.

    >>> parse_submission(["--conf=a=b", "-v", "embed", "--warehouse", "w"])
    Submission(options=(('--conf', 'a=b'), ('-v', None)), rest=('embed', '--warehouse', 'w'))
    """
    options: list[tuple[str, str | None]] = []
    words = list(argv)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if equals and name.startswith("--"):  # --name=value, as spark-submit allows
            words.insert(0, value)
            word = name
        if word in FLAGS:
            options.append((word, None))
            continue
        if known_only and word not in VALUES:
            raise UserError(
                f"spark-submit has no option '{word}'{did_you_mean(word, (*VALUES, *FLAGS))}"
                "; a job's own options stand after its name (`./spark-submit.sh --help`)"
            )
        if not words:
            raise UserError(
                f"spark-submit option {word} needs a value; `./spark-submit.sh --help` shows the order of the arguments"
            )
        options.append((word, words.pop(0)))
    return Submission(tuple(options), tuple(words))


def defaults_of(environ: Mapping[str, str]) -> dict[str, str]:
    """``spark-defaults.conf`` of the user's ``SPARK_CONF_DIR``, else of the installation at ``SPARK_HOME``."""
    folder = environ.get("SPARK_CONF_DIR") or (environ["SPARK_HOME"] + "/conf" if environ.get("SPARK_HOME") else None)
    path = Path(folder) / "spark-defaults.conf" if folder else None
    return read_properties(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else {}


def read_properties(text: str) -> dict[str, str]:
    r"""A Java properties file as Spark reads it: ``key value``, ``key=value`` or ``key: value``; ``#`` and ``!`` begin
    a comment line, a backslash at the end continues a line.

    >>> read_properties("# no\nspark.master  local[1]\nspark.jars=a.jar,\\\n  b.jar\n")
    {'spark.master': 'local[1]', 'spark.jars': 'a.jar,b.jar'}
    """
    settings: dict[str, str] = {}
    for line in map(str.strip, re.sub(r"\\\n\s*", "", text).splitlines()):
        if line and line[0] not in "#!":
            parts = re.split(r"\s*[=:]\s*|\s+", line, maxsplit=1)
            settings[parts[0]] = parts[1].strip() if len(parts) == 2 else ""
    return settings


def _properties_file(name: str) -> dict[str, str]:
    try:
        return read_properties(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "not a text file"
        raise UserError(f"--properties-file {name}: {reason}; give a file of lines such as `spark.master yarn`") from e
