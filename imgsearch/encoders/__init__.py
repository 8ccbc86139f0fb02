"""From pixels to embeddings: networks, graphs, runtimes; the job `embed`."""
