"""A process with its own Spark session that runs jobs as it is told: ``python writer.py``, one JSON list a line.

Each line is ``[job, option, value, ...]``; the answer is one line ``{"code": …, "lines": […]}``: the exit code that the
job's own process would have had, and what it said on stderr.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys

from imgsearch.job import JOBS, _named, run_job


def main() -> None:
    """Answer until stdin ends."""
    from imgsearch.lake.session import build_session

    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    spark = build_session(
        "writer", spark__master="local[2]", spark__driver__memory="768m", spark__sql__shuffle__partitions="2",
        spark__ui__enabled="false", spark__ui__showConsoleProgress="false", spark__driver__host="127.0.0.1",
        spark__databricks__delta__snapshotPartitions="1",
    )  # fmt: skip
    spark.stop = lambda: None  # type: ignore[method-assign]  # the session is the next job's too
    print("ready", flush=True)
    for line in sys.stdin:
        name, *argv = json.loads(line)
        said, printed = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            code = run_job(name, argv, _named(JOBS[name].run))
        print(json.dumps({"code": code, "lines": said.getvalue().splitlines()}), flush=True)


if __name__ == "__main__":
    main()
