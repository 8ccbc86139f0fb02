"""``./spark-submit.sh compress``: wiring only; the work is in ``imgsearch.stages.compress``."""

import sys

from imgsearch.config import CompressConfig
from imgsearch.job import run_job
from imgsearch.stages import compress

if __name__ == "__main__":
    sys.exit(run_job("compress", CompressConfig, compress.run))
