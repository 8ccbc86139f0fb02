"""``./spark-submit.sh dedup``: wiring only; the work is in ``imgsearch.stages.dedup``."""

import sys

from imgsearch.config import DedupConfig
from imgsearch.job import run_job
from imgsearch.stages import dedup

if __name__ == "__main__":
    sys.exit(run_job("dedup", DedupConfig, dedup.run))
