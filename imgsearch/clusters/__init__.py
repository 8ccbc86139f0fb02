"""Clusters of vectors: k-means, description, drift; the job `cluster`."""
