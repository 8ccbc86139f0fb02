"""From embeddings to vectors: moments, PCA, storage; the job `compress`."""
