"""Where things are kept: the Spark session, Delta tables, files, models, workers' caches. No image or vector maths."""
