"""``./spark-submit.sh export``: wiring only; the work is in ``imgsearch.stages.export``."""

import sys

from imgsearch.config import ExportConfig
from imgsearch.job import run_job
from imgsearch.stages import export

if __name__ == "__main__":
    sys.exit(run_job("export", ExportConfig, export.run))
