"""``./spark-submit.sh demo``: wiring only; the work is in ``imgsearch.stages.demo``."""

import sys

from imgsearch.config import DemoConfig
from imgsearch.job import run_job
from imgsearch.stages import demo

if __name__ == "__main__":
    sys.exit(run_job("demo", DemoConfig, demo.run))
