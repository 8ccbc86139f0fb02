"""An application for spark-submit that runs several jobs one after another: ``JOB [options] + JOB [options] + …``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence


def split(words: Sequence[str]) -> Iterator[list[str]]:
    """The words between the ``+``."""
    part: list[str] = []
    for word in [*words, "+"]:
        if word == "+":
            yield part
            part = []
        else:
            part.append(word)


if __name__ == "__main__":
    from importlib import import_module

    from imgsearch.job import JOBS, settings_of
    from imgsearch.lake.session import build_session

    spark = build_session("imgsearch test bed")
    for name, *options in split(sys.argv[1:]):
        module, function = JOBS[name].run.split(":")
        print(getattr(import_module(module), function)(spark, settings_of(name, options)), flush=True)
    spark.stop()
