"""``./spark-submit.sh cluster``: wiring only; the work is in ``imgsearch.stages.cluster``."""

import sys

from imgsearch.config import ClusterConfig
from imgsearch.job import run_job
from imgsearch.stages import cluster

if __name__ == "__main__":
    sys.exit(run_job("cluster", ClusterConfig, cluster.run))
