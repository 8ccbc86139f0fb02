"""``./spark-submit.sh calibrate``: wiring only; the work is in ``imgsearch.stages.calibrate``."""

import sys

from imgsearch.config import CalibrateConfig
from imgsearch.job import run_job
from imgsearch.stages import calibrate

if __name__ == "__main__":
    sys.exit(run_job("calibrate", CalibrateConfig, calibrate.run))
