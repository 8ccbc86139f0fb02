"""``./spark-submit.sh evaluate``: wiring only; the work is in ``imgsearch.stages.evaluate``."""

import sys

from imgsearch.config import EvaluateConfig
from imgsearch.job import run_job
from imgsearch.stages import evaluate

if __name__ == "__main__":
    sys.exit(run_job("evaluate", EvaluateConfig, evaluate.run))
