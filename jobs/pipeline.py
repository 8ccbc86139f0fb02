"""``./spark-submit.sh pipeline``: wiring only; the work is in ``imgsearch.stages.pipeline``."""

import sys

from imgsearch.config import PipelineConfig
from imgsearch.job import run_job
from imgsearch.stages import pipeline

if __name__ == "__main__":
    sys.exit(run_job("pipeline", PipelineConfig, pipeline.run))
