"""``./spark-submit.sh neighbours``: spark-submit's entry; the work is named in ``imgsearch.job.JOBS``."""

import sys

from imgsearch.job import main

if __name__ == "__main__":
    sys.exit(main("neighbours"))
