"""Where things are kept: the Spark session, Delta tables, files, models, workers' caches. No image or vector maths."""

import os

if "IMGSEARCH_CODE" in os.environ:  # an executor that was sent an archive: has it the code of its driver?
    from imgsearch.lake.archive import check_worker

    check_worker()
