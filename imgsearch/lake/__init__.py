"""Where things are kept: the Spark session, Delta tables, files, models, the workers' caches. No image or vector maths."""
