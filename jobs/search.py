"""``./spark-submit.sh search``: wiring only; the work is in ``imgsearch.stages.search``."""

import sys

from imgsearch.config import SearchConfig
from imgsearch.job import run_job
from imgsearch.stages import search

if __name__ == "__main__":
    sys.exit(run_job("search", SearchConfig, search.run))
