"""``./spark-submit.sh embed``: wiring only; the work is in ``imgsearch.stages.embed``."""

import sys

from imgsearch.config import EmbedConfig
from imgsearch.job import run_job
from imgsearch.stages import embed

if __name__ == "__main__":
    sys.exit(run_job("embed", EmbedConfig, embed.run))
