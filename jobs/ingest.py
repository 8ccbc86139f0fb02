"""``./spark-submit.sh ingest``: wiring only; the work is in ``imgsearch.stages.ingest``."""

import sys

from imgsearch.config import IngestConfig
from imgsearch.job import run_job
from imgsearch.stages import ingest

if __name__ == "__main__":
    sys.exit(run_job("ingest", IngestConfig, ingest.run))
