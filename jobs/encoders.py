"""``./spark-submit.sh encoders``: wiring only; needs no Spark, so the launcher's check answers it already."""

import sys

from imgsearch.job import check

if __name__ == "__main__":
    sys.exit(check("encoders", sys.argv[1:]))
