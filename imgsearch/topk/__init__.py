"""Exact top-k on arrays: scans, bounds, ranking. No Spark, no tables."""
