"""``./spark-submit.sh drop``: wiring only; the work is in ``imgsearch.stages.drop``."""

import sys

from imgsearch.config import DropConfig
from imgsearch.job import run_job
from imgsearch.stages import drop

if __name__ == "__main__":
    sys.exit(run_job("drop", DropConfig, drop.run))
