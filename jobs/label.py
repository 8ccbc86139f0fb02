"""``./spark-submit.sh label``: wiring only; the work is in ``imgsearch.stages.label``."""

import sys

from imgsearch.config import LabelConfig
from imgsearch.job import run_job
from imgsearch.stages import label

if __name__ == "__main__":
    sys.exit(run_job("label", LabelConfig, label.run))
