"""``python -m imgsearch JOB …``: the launcher; the same file under ``spark-submit``: the job."""

from __future__ import annotations

import os
import sys

# Run as a script: our own folder is no place to import `config` or `labels` from.
if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]


def main() -> int:
    """Run a job under ``spark-submit``, else launch it."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        from imgsearch import job

        name = sys.argv.pop(1)
        return job.main(name)
    from imgsearch import launcher

    return launcher.main()


if __name__ == "__main__":
    sys.exit(main())
